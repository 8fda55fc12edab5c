//! The JSON of `POST /predict/{model}`: nested lists by name, `{"inputs": {"name": [...]}}`, or one bare list for a model
//! with one input. The text names no datatypes: they are the model's. Strings may be `{"b64": "..."}`.

use super::{
    SyntaxError,
    cursor::Cursor,
    nested::{self, Dialect, Reader},
    spec::TensorSpec,
    v2::Input,
};
use crate::excerpt::excerpt;

/// Why a body has no inputs for a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither JSON, nor the JSON that is expected.
    #[error("the body is not JSON for /predict: {0}")]
    Json(#[from] SyntaxError),
    /// A bare value is not enough.
    #[error(
        "there are {0} inputs, so that a bare list is not enough: send {{\"inputs\": {{\"name\": [...]}}}}"
    )]
    Unnamed(usize),
    /// A name that the model does not have.
    #[error("there is no input '{}'", excerpt(.0))]
    Unknown(String),
    /// A name that comes twice.
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

/// Whether a body is JSON, of whatever kind.
#[must_use]
pub fn is_json(body: &[u8]) -> bool {
    let whole = |mut cursor: Cursor<'_>| cursor.skip(&[]).and_then(|()| cursor.end());
    Cursor::of_body(body).and_then(whole).is_ok()
}

/// Reads the tensors of a model with these `inputs`, as far as they are given. Whether shapes are the model's is not looked
/// at.
///
/// # Errors
/// What is wrong with the body, naming the tensor.
pub fn parse(body: &[u8], inputs: &[TensorSpec]) -> Result<Vec<Input>, Error> {
    let mut cursor = Cursor::of_body(body)?;
    let read = match (cursor.peek(), inputs) {
        (Some(b'{'), _) => object(&mut cursor, inputs)?,
        (_, [only]) => vec![value(&mut cursor, only)?],
        (None, _) => return Err(cursor.no_value().into()),
        (Some(_), _) => return Err(Error::Unnamed(inputs.len())),
    };
    cursor.end()?;
    Ok(read)
}

fn object(cursor: &mut Cursor<'_>, inputs: &[TensorSpec]) -> Result<Vec<Input>, Error> {
    let (mut first, mut read) = (cursor.take(b'{'), None);
    while cursor.another(&mut first, b'}')? {
        let key = cursor.key()?;
        let before = *cursor;
        match &*key {
            "inputs" => before.put_once(&mut read, members(cursor, inputs)?, "inputs")?,
            _ => cursor.skip(&[])?,
        }
    }
    Ok(read.ok_or_else(|| cursor.error("missing field `inputs`"))?)
}

fn members(cursor: &mut Cursor<'_>, inputs: &[TensorSpec]) -> Result<Vec<Input>, Error> {
    cursor.open(b'{', "an object of lists by name")?;
    let (mut first, mut read) = (true, Vec::<Input>::new());
    while cursor.another(&mut first, b'}')? {
        let name = cursor.key()?;
        let Some(spec) = inputs.iter().find(|spec| spec.name == name) else {
            return Err(Error::Unknown(name.into_owned()));
        };
        if read.iter().any(|input| input.name == name) {
            return Err(Error::Duplicate(name.into_owned()));
        }
        read.push(value(cursor, spec)?);
    }
    Ok(read)
}

fn value(cursor: &mut Cursor<'_>, spec: &TensorSpec) -> Result<Input, Error> {
    let mut reader = Reader::new(spec.datatype, Dialect::Predict);
    let tensor = reader.value(cursor).map_err(nested::Error::Json).and_then(|()| reader.finish_for(spec));
    match tensor {
        Ok(tensor) => Ok(Input { name: spec.name.clone(), tensor }),
        Err(source) => Err(Error::Data { input: spec.name.clone(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::tensor::{Datatype, Tensor};

    fn specs(names: &[&str]) -> Vec<TensorSpec> {
        let spec = |name: &&str| TensorSpec {
            name: (*name).into(),
            datatype: Datatype::Int8,
            shape: vec![None],
            any_rank: false,
        };
        names.iter().map(spec).collect()
    }

    fn input(name: &str, shape: &[usize], numbers: &[i8]) -> Input {
        Input { name: name.into(), tensor: Tensor::from_numbers(shape.into(), numbers.into()).unwrap() }
    }

    #[test]
    fn lists_come_by_name_or_bare() {
        let both =
            parse(br#" {"inputs": {"b": [1], "\u0061": [[2]]}, "x": 1}"#, &specs(&["a", "b"])).unwrap();
        assert_eq!(both, [input("b", &[1], &[1]), input("a", &[1, 1], &[2])]);
        assert_eq!(parse(b" [[1, 2]] ", &specs(&["a"])).unwrap(), [input("a", &[1, 2], &[1, 2])]);
        assert_eq!(parse(b"7", &specs(&["a"])).unwrap(), [input("a", &[], &[7])]);
        // That one is missing is seen where all of them are needed.
        assert_eq!(parse(br#"{"inputs": {"a": [1]}}"#, &specs(&["a", "b"])).unwrap().len(), 1);
    }

    #[test]
    fn what_is_neither_is_refused_at_its_place() {
        for (body, says) in [
            ("", "the body is not JSON for /predict: EOF where a value is expected at line 1 column 1"),
            ("{}", "missing field `inputs`"),
            (r#"{"inputs": [1]}"#, "expected an object of lists by name"),
            (r#"{"inputs": {"a": [1], "a": [2]}}"#, "input 'a' is given twice"),
            (r#"{"inputs": {}, "inputs": {}}"#, "'inputs' is given twice"),
            (r#"{"inputs": {"c": [1]}}"#, "there is no input 'c'"),
            ("{\"inputs\":\n {\"a\": [1, x]}}", "input 'a': expected value at line 2 column 12"),
            (r#"{"inputs": {"a": [300]}}"#, "input 'a': 300 is not a value of INT8"),
            ("[1]", "there are 2 inputs, so that a bare list is not enough"),
            ("\u{feff}{}", "byte order mark"),
            (r#"{"inputs": {"a": [1]}} x"#, "trailing characters"),
        ] {
            let error = parse(body.as_bytes(), &specs(&["a", "b"])).expect_err(body).to_string();
            assert!(error.contains(says), "{body}: {error}");
        }
        for (body, says) in [("", "input 'a': EOF"), ("[1", "EOF"), ("[1] x", "trailing characters")] {
            let error = parse(body.as_bytes(), &specs(&["a"])).expect_err(body).to_string();
            assert!(error.contains(says), "{body}: {error}");
        }
        assert!(parse(b"[\"\xff\"]", &specs(&["a"])).is_err());
    }

    #[test]
    fn json_is_known_whatever_it_says() {
        for (body, is) in [
            (&b"[1, {\"a\": null}]"[..], true),
            (b" {} ", true),
            (b"{}{}", false),
            (b"[1", false),
            (b"", false),
            (b"[\xff]", false),
        ] {
            assert_eq!(is_json(body), is, "{}", body.escape_ascii());
        }
    }
}
