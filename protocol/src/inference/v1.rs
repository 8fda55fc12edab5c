//! Prediction as TensorFlow Serving's REST interface and KServe's first version have it (`api_rest.md`).
//!
//! Row format is `instances`, a list of rows; columnar format is `inputs`, whole tensors. The text names no datatypes:
//! they are the model's. `NaN`, `Infinity` and `-Infinity` are taken and given, although they are not JSON, and strings
//! may be `{"b64": "..."}`.

use super::{
    SyntaxError,
    cursor::Cursor,
    nested::{self, Dialect, Reader, WORDS},
    spec::TensorSpec,
    tensor::{Datatype, Tensor},
    v2::Input,
};
use crate::excerpt::excerpt;

/// How a request holds its tensors, and so how the answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `instances`: row by row.
    Row,
    /// `inputs`: tensor by tensor.
    Columnar,
}

/// What the client asks.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictRequest {
    /// How it was asked.
    pub format: Format,
    /// The tensors in the model's order, as far as they were given.
    pub inputs: Vec<Input>,
}

/// Why a body is no prediction request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither JSON, nor the JSON of the interface.
    #[error("the body is not a predict request: {0}")]
    Json(#[from] SyntaxError),
    /// A body has one of them.
    #[error("the body has {0} `instances` and `inputs`: it must have one of them")]
    Format(&'static str),
    /// There is nothing to predict for.
    #[error("`instances` is empty")]
    NoRows,
    /// A bare value is not enough.
    #[error("the model has {0} inputs, so that they must be named: {{\"name\": value, ...}}")]
    Unnamed(usize),
    /// A name that the model does not have.
    #[error("the model has no input '{}'", excerpt(.0))]
    Unknown(String),
    /// A row that lacks what others have.
    #[error("instance {row} has no input '{input}', others have")]
    Missing {
        /// Counted from 0.
        row: usize,
        /// The tensor's name.
        input: String,
    },
    /// A name that comes twice in one object.
    #[error("input '{0}' is given twice")]
    Duplicate(String),
    /// Data that does not fit the datatype, or is ragged.
    #[error("input '{input}': {source}")]
    Data {
        /// The tensor's name.
        input: String,
        /// What is wrong.
        source: nested::Error,
    },
}

/// Reads a request for a model with these `inputs`. Whether shapes are the model's is not looked at.
///
/// # Errors
/// What is wrong with it, naming the tensor.
pub fn parse(body: &[u8], inputs: &[TensorSpec]) -> Result<PredictRequest, Error> {
    let mut cursor = Cursor::of_body(body)?;
    cursor.open(b'{', "an object")?;
    let (mut first, mut request) = (true, None);
    while cursor.another(&mut first, b'}')? {
        let key = cursor.key()?;
        let format = match &*key {
            "instances" => Format::Row,
            "inputs" => Format::Columnar,
            // `signature_name` too: an ONNX model has one signature.
            _ => {
                cursor.skip(&WORDS)?;
                continue;
            }
        };
        if request.is_some() {
            return Err(Error::Format("more than one of"));
        }
        let mut columns = Columns::new(inputs);
        let inputs = match format {
            Format::Row => columns.instances(&mut cursor)?,
            Format::Columnar => columns.inputs(&mut cursor)?,
        };
        request = Some(PredictRequest { format, inputs });
    }
    cursor.end()?;
    request.ok_or(Error::Format("neither of"))
}

/// The model's inputs, as they fill.
struct Columns<'s> {
    specs: &'s [TensorSpec],
    columns: Vec<Column>,
}

struct Column {
    reader: Reader,
    /// Rows that have come; for whole tensors, whether it has.
    rows: usize,
}

impl<'s> Columns<'s> {
    fn new(specs: &'s [TensorSpec]) -> Self {
        let column =
            |spec: &TensorSpec| Column { reader: Reader::new(spec.datatype, Dialect::TfServing), rows: 0 };
        Self { specs, columns: specs.iter().map(column).collect() }
    }

    fn instances(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<Input>, Error> {
        cursor.peek();
        let list = *cursor;
        cursor.open(b'[', "a list of instances")?;
        let mut first = true;
        if !cursor.another(&mut first, b']')? {
            return Err(Error::NoRows);
        }
        if !self.are_named(*cursor) {
            *cursor = list;
            self.only()?;
            self.read(0, |reader| reader.value(cursor))?;
            return self.finish(Reader::finish_for);
        }
        let mut rows = 0;
        loop {
            self.object(cursor, rows, Reader::row)?;
            rows += 1;
            if let Some(at) = self.columns.iter().position(|column| (1..rows).contains(&column.rows)) {
                return Err(self.missing(at, rows - 1));
            }
            if !cursor.another(&mut first, b']')? {
                return self.finish(|reader, spec| reader.finish_rows_for(rows, spec));
            }
        }
    }

    fn inputs(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<Input>, Error> {
        if self.are_named(*cursor) {
            self.object(cursor, 0, Reader::value)?;
        } else {
            self.only()?;
            self.read(0, |reader| reader.value(cursor))?;
        }
        self.finish(Reader::finish_for)
    }

    /// Whether what comes next is an object of inputs by name, and not a bare value.
    fn are_named(&self, mut cursor: Cursor<'_>) -> bool {
        let is_string = |key: &str| key == "b64" && self.position(key).is_none();
        cursor.take(b'{') && !cursor.key().is_ok_and(|key| is_string(&key))
    }

    fn only(&self) -> Result<(), Error> {
        if self.specs.len() == 1 { Ok(()) } else { Err(Error::Unnamed(self.specs.len())) }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.specs.iter().position(|spec| spec.name == name)
    }

    /// Reads an object of values by name, each of which is its input's `row`.
    fn object<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        row: usize,
        value: impl Fn(&mut Reader, &mut Cursor<'a>) -> Result<(), SyntaxError>,
    ) -> Result<(), Error> {
        cursor.open(b'{', "an object of inputs by name")?;
        let mut first = true;
        while cursor.another(&mut first, b'}')? {
            let name = cursor.key()?;
            let Some(at) = self.position(&name) else {
                return Err(Error::Unknown(name.into_owned()));
            };
            match self.columns[at].rows {
                rows if rows > row => return Err(Error::Duplicate(name.into_owned())),
                rows if rows < row => return Err(self.missing(at, rows)),
                _ => {}
            }
            self.read(at, |reader| value(reader, cursor))?;
        }
        Ok(())
    }

    fn read(
        &mut self,
        at: usize,
        value: impl FnOnce(&mut Reader) -> Result<(), SyntaxError>,
    ) -> Result<(), Error> {
        let column = &mut self.columns[at];
        column.rows += 1;
        value(&mut column.reader).map_err(|error| self.data(at, error.into()))
    }

    fn finish(
        &mut self,
        tensor: impl Fn(Reader, &TensorSpec) -> Result<Tensor, nested::Error>,
    ) -> Result<Vec<Input>, Error> {
        let columns = std::mem::take(&mut self.columns).into_iter().enumerate();
        let given = columns.filter(|(_, column)| column.rows > 0);
        let inputs = given.map(|(at, column)| {
            let spec = &self.specs[at];
            let tensor = tensor(column.reader, spec).map_err(|error| self.data(at, error))?;
            Ok(Input { name: spec.name.clone(), tensor })
        });
        inputs.collect()
    }

    fn missing(&self, at: usize, row: usize) -> Error {
        Error::Missing { row, input: self.specs[at].name.clone() }
    }

    fn data(&self, at: usize, source: nested::Error) -> Error {
        Error::Data { input: self.specs[at].name.clone(), source }
    }
}

/// A datatype's name in TensorFlow (`types.proto`).
#[must_use]
pub const fn dtype(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "DT_BOOL",
        Datatype::Uint8 => "DT_UINT8",
        Datatype::Uint16 => "DT_UINT16",
        Datatype::Uint32 => "DT_UINT32",
        Datatype::Uint64 => "DT_UINT64",
        Datatype::Int8 => "DT_INT8",
        Datatype::Int16 => "DT_INT16",
        Datatype::Int32 => "DT_INT32",
        Datatype::Int64 => "DT_INT64",
        Datatype::Fp16 => "DT_HALF",
        Datatype::Bf16 => "DT_BFLOAT16",
        Datatype::Fp32 => "DT_FLOAT",
        Datatype::Fp64 => "DT_DOUBLE",
        Datatype::Bytes => "DT_STRING",
    }
}

/// Why outputs cannot be printed row by row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "output '{output}' of shape {shape:?} has no {rows} rows, so that it cannot be printed row by row; ask by `inputs`"
)]
pub struct NoRows {
    output: String,
    shape: Vec<usize>,
    rows: usize,
}

/// Prints the answer in the format of the request: `predictions` by row, or `outputs` by tensor. A single output goes
/// without its name. Strings of an output whose name ends in `_bytes` are `{"b64": "..."}`, and any that are not UTF-8.
///
/// # Errors
/// Where the format is by row and the outputs do not all have the same number of rows.
pub fn print(format: Format, outputs: &[(&str, &Tensor)]) -> Result<Vec<u8>, NoRows> {
    let mut body = Vec::with_capacity(256);
    if format == Format::Columnar {
        body.extend_from_slice(b"{\"outputs\":");
        print_one(&mut body, outputs);
    } else {
        let rows = row_count(outputs)?;
        body.extend_from_slice(b"{\"predictions\":[");
        for row in 0..rows {
            if row > 0 {
                body.push(b',');
            }
            let parts: Vec<(&str, Tensor)> =
                outputs.iter().filter_map(|(name, tensor)| Some((*name, tensor.row(row)?))).collect();
            print_one(&mut body, &parts.iter().map(|(name, part)| (*name, part)).collect::<Vec<_>>());
        }
        body.push(b']');
    }
    body.push(b'}');
    Ok(body)
}

fn row_count(outputs: &[(&str, &Tensor)]) -> Result<usize, NoRows> {
    let first_dim = |tensor: &Tensor| tensor.shape().first().copied();
    let rows = outputs.first().map_or(Some(0), |(_, tensor)| first_dim(tensor));
    match outputs.iter().find(|(_, tensor)| rows.is_none() || first_dim(tensor) != rows) {
        None => Ok(rows.unwrap_or(0)),
        Some((name, tensor)) => Err(NoRows {
            output: (*name).to_owned(),
            shape: tensor.shape().to_vec(),
            rows: rows.unwrap_or(1),
        }),
    }
}

/// Prints a value, or an object of values by name if there are several.
fn print_one(body: &mut Vec<u8>, outputs: &[(&str, &Tensor)]) {
    let is_base64 =
        |name: &str, tensor: &Tensor| tensor.datatype() == Datatype::Bytes && name.ends_with("_bytes");
    if let [(name, tensor)] = *outputs {
        return nested::write_in(Dialect::TfServing, is_base64(name, tensor), tensor, body);
    }
    body.push(b'{');
    for (at, (name, tensor)) in outputs.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        serde_json::to_writer(&mut *body, name).expect("a Vec takes every byte, and a string is valid JSON");
        body.push(b':');
        nested::write_in(Dialect::TfServing, is_base64(name, tensor), tensor, body);
    }
    body.push(b'}');
}

#[cfg(test)]
#[path = "v1_tests.rs"]
mod tests;
