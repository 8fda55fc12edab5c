//! The JSON of an inference request (Open Inference Protocol, `inference_rest.md`), with Triton's parameters.
//!
//! Members and parameters that we do not know are ignored, as Triton does; what is known must be right. Data that comes
//! after name and datatype, as clients write it, is read in the same pass.

use super::request::{Error, RequestedOutput};
use crate::inference::{
    SyntaxError,
    cursor::Cursor,
    nested::{self, Dialect, MAX_RANK, Reader, WORDS},
    tensor::{Datatype, Tensor},
};
use std::borrow::Cow;

/// Inputs or outputs that a request may have: more than models do, and few enough to be held.
const MAX_TENSORS: usize = 4096;

/// What the JSON says; names may still be there twice.
#[derive(Default)]
pub(super) struct Head {
    pub(super) id: Option<String>,
    /// Microseconds.
    pub(super) timeout: Option<u64>,
    pub(super) binary_output: bool,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<RequestedOutput>,
}

pub(super) struct Input {
    pub(super) name: String,
    pub(super) data: Data,
}

pub(super) enum Data {
    /// It was here.
    Read(Tensor),
    /// It is behind the JSON.
    Bytes { datatype: Datatype, shape: Vec<usize>, size: usize },
}

pub(super) fn parse(text: &[u8]) -> Result<Head, Error> {
    let mut cursor = Cursor::of_body(text)?;
    let (mut head, mut inputs, mut outputs) = (Head::default(), None, None);
    let (mut id, mut parameters) = (None, None);
    cursor.open(b'{', "an object")?;
    let mut first = true;
    while cursor.another(&mut first, b'}')? {
        let key = cursor.key()?;
        let before = cursor;
        match &*key {
            "id" => before.put_once(&mut id, optional_string(&mut cursor)?, "id")?,
            "parameters" => {
                before.put_once(&mut parameters, (), "parameters")?;
                request_parameters(&mut cursor, &mut head)?;
            }
            "inputs" => {
                before.put_once(&mut inputs, list(&mut cursor, MAX_TENSORS, "inputs", input)?, "inputs")?;
            }
            "outputs" => before.put_once(
                &mut outputs,
                list(&mut cursor, MAX_TENSORS, "outputs", output)?,
                "outputs",
            )?,
            _ => cursor.skip(&[])?,
        }
    }
    cursor.end()?;
    head.id = id.flatten();
    head.inputs = inputs.ok_or_else(|| cursor.error("missing field `inputs`"))?;
    head.outputs = outputs.unwrap_or_default();
    Ok(head)
}

fn optional_string(cursor: &mut Cursor<'_>) -> Result<Option<String>, SyntaxError> {
    if cursor.take_word("null") { Ok(None) } else { Ok(Some(cursor.string()?.into_owned())) }
}

fn list<'a, T>(
    cursor: &mut Cursor<'a>,
    most: usize,
    what: &str,
    item: impl Fn(&mut Cursor<'a>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    cursor.open(b'[', &format!("a list of {what}"))?;
    let (mut first, mut items) = (true, Vec::new());
    while cursor.another(&mut first, b']')? {
        if items.len() == most {
            return Err(cursor.error(format_args!("more than {most} {what}")).into());
        }
        items.push(item(cursor)?);
    }
    Ok(items)
}

/// Reads an object whose members are parameters; `known` takes what it knows, and says so.
fn parameters(
    cursor: &mut Cursor<'_>,
    mut known: impl FnMut(&str, &mut Cursor<'_>) -> Result<bool, SyntaxError>,
) -> Result<(), SyntaxError> {
    if cursor.take_word("null") {
        return Ok(());
    }
    cursor.open(b'{', "an object of parameters")?;
    let mut first = true;
    while cursor.another(&mut first, b'}')? {
        let key = cursor.key()?;
        if !known(&key, cursor)? {
            cursor.skip(&[])?;
        }
    }
    Ok(())
}

fn request_parameters(cursor: &mut Cursor<'_>, head: &mut Head) -> Result<(), SyntaxError> {
    let mut binary = None;
    parameters(cursor, |key, cursor| {
        let before = *cursor;
        match key {
            "timeout" => {
                before.put_once(&mut head.timeout, cursor.whole_number("timeout, in microseconds,")?, key)?;
            }
            "binary_data_output" => before.put_once(&mut binary, cursor.boolean(key)?, key)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    head.binary_output = binary.unwrap_or(false);
    Ok(())
}

fn output(cursor: &mut Cursor<'_>) -> Result<RequestedOutput, Error> {
    let (mut name, mut given, mut binary, mut classification) = (None, None, None, None);
    cursor.open(b'{', "an output, which is an object")?;
    let mut first = true;
    while cursor.another(&mut first, b'}')? {
        let key = cursor.key()?;
        let before = *cursor;
        match &*key {
            "name" => before.put_once(&mut name, cursor.string()?.into_owned(), "name")?,
            "parameters" => {
                before.put_once(&mut given, (), "parameters")?;
                parameters(cursor, |key, cursor| {
                    let before = *cursor;
                    match key {
                        "binary_data" => before.put_once(&mut binary, cursor.boolean(key)?, key)?,
                        "classification" => before.put_once(&mut classification, classes(cursor)?, key)?,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
            }
            _ => cursor.skip(&[])?,
        }
    }
    let name = name.ok_or_else(|| cursor.error("an output has no `name`: missing field `name`"))?;
    Ok(RequestedOutput { name, binary, classification })
}

fn classes(cursor: &mut Cursor<'_>) -> Result<usize, SyntaxError> {
    let before = *cursor;
    let classes = usize::try_from(cursor.whole_number("classification")?);
    let classes = classes.ok().filter(|classes| *classes > 0);
    classes.ok_or_else(|| before.error("classification must be a number of classes, at least 1"))
}

/// An input's members as far as they have come.
#[derive(Default)]
struct Members<'a> {
    name: Option<Cow<'a, str>>,
    shape: Option<Vec<usize>>,
    datatype: Option<Cow<'a, str>>,
    data: Option<Found<'a>>,
    parameters: Option<()>,
    /// Of the bytes behind the JSON.
    size: Option<usize>,
}

enum Found<'a> {
    Read(Reader),
    /// Where it is: what it is comes later.
    At(Cursor<'a>),
}

fn input(cursor: &mut Cursor<'_>) -> Result<Input, Error> {
    let mut members = Members::default();
    cursor.open(b'{', "an input, which is an object")?;
    let mut first = true;
    while cursor.another(&mut first, b'}')? {
        let key = cursor.key()?;
        let before = *cursor;
        match &*key {
            "name" => before.put_once(&mut members.name, cursor.string()?, "name")?,
            "shape" => before.put_once(&mut members.shape, shape(cursor)?, "shape")?,
            "datatype" => before.put_once(&mut members.datatype, cursor.string()?, "datatype")?,
            "data" => {
                let found = found(cursor, &members)?;
                before.put_once(&mut members.data, found, "data")?;
            }
            "parameters" => {
                before.put_once(&mut members.parameters, (), "parameters")?;
                parameters(cursor, |key, cursor| {
                    if key == "binary_data_size" {
                        let before = *cursor;
                        let size = usize::try_from(cursor.whole_number(key)?).unwrap_or(usize::MAX);
                        before.put_once(&mut members.size, size, key)?;
                    }
                    Ok(key == "binary_data_size")
                })?;
            }
            _ => cursor.skip(&[])?,
        }
    }
    let missing = |name: &str| cursor.error(format_args!("an input lacks something: missing field `{name}`"));
    let name = members.name.ok_or_else(|| missing("name"))?.into_owned();
    let shape = members.shape.ok_or_else(|| missing("shape"))?;
    let datatype = datatype(&name, &members.datatype.ok_or_else(|| missing("datatype"))?)?;
    let data = match (members.data, members.size) {
        (Some(_), Some(_)) => return Err(Error::Form { input: name, has: "both", and: "and" }),
        (None, None) => return Err(Error::Form { input: name, has: "neither", and: "nor" }),
        (None, Some(size)) => Data::Bytes { datatype, shape, size },
        (Some(found), None) => {
            let reader = match found {
                Found::Read(reader) => reader,
                Found::At(mut cursor) => read(&mut cursor, &name, datatype)?,
            };
            match reader.finish_as(shape) {
                Ok(tensor) => Data::Read(tensor),
                Err(source) => return Err(Error::Data { input: name, source }),
            }
        }
    };
    Ok(Input { name, data })
}

fn found<'a>(cursor: &mut Cursor<'a>, members: &Members<'_>) -> Result<Found<'a>, Error> {
    if let (Some(name), Some(known)) = (&members.name, &members.datatype) {
        return read(cursor, name, datatype(name, known)?).map(Found::Read);
    }
    cursor.peek();
    let place = *cursor;
    cursor.skip(&WORDS)?;
    Ok(Found::At(place))
}

fn read(cursor: &mut Cursor<'_>, name: &str, datatype: Datatype) -> Result<Reader, Error> {
    let mut reader = Reader::new(datatype, Dialect::OpenInference);
    match reader.value(cursor) {
        Ok(()) => Ok(reader),
        Err(error) => Err(Error::Data { input: name.to_owned(), source: nested::Error::Json(error) }),
    }
}

fn datatype(input: &str, name: &str) -> Result<Datatype, Error> {
    Datatype::from_name(name)
        .ok_or_else(|| Error::Datatype { input: input.to_owned(), datatype: name.to_owned() })
}

fn shape(cursor: &mut Cursor<'_>) -> Result<Vec<usize>, Error> {
    list(cursor, MAX_RANK, "dimensions", |cursor| {
        let dim = cursor.whole_number("a dimension")?;
        Ok(usize::try_from(dim).map_err(|_| cursor.error("a dimension is too large"))?)
    })
}
