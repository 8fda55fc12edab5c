//! Inference requests and responses as JSON (Open Inference Protocol, `inference_rest.md`).
//!
//! Members that we do not know are ignored, as Triton does; what is known must be right.

use crate::inference::{
    nested,
    tensor::{Datatype, Tensor},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the client asks.
#[derive(Debug)]
pub struct InferRequest {
    /// To be given back as it is.
    pub id: Option<String>,
    /// The tensors, by name, in the order sent.
    pub inputs: Vec<Input>,
    /// Names of the outputs wanted; empty for all.
    pub outputs: Vec<String>,
}

/// A tensor of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The model's name for it.
    pub name: String,
    /// The data.
    pub tensor: Tensor,
}

/// A tensor of a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Output<'a> {
    /// The model's name for it.
    pub name: &'a str,
    /// The data.
    pub tensor: &'a Tensor,
}

/// What is answered.
#[derive(Debug)]
pub struct InferResponse<'a> {
    /// The model that ran.
    pub model_name: &'a str,
    /// The version that ran.
    pub model_version: &'a str,
    /// The request's id.
    pub id: Option<&'a str>,
    /// The results.
    pub outputs: Vec<Output<'a>>,
}

/// Why a body is no inference request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not the JSON of the protocol.
    #[error("the body is not an inference request: {0}")]
    Json(#[from] serde_json::Error),
    /// A datatype that the protocol does not have.
    #[error("input '{input}' has an unknown datatype '{datatype}'")]
    Datatype {
        /// The tensor's name.
        input: String,
        /// What it says.
        datatype: String,
    },
    /// Data that does not fit datatype or shape.
    #[error("input '{input}': {source}")]
    Data {
        /// The tensor's name.
        input: String,
        /// What is wrong.
        source: nested::Error,
    },
    /// Two tensors of one name.
    #[error("{kind} '{name}' is given twice")]
    Duplicate {
        /// Input or output.
        kind: &'static str,
        /// The name.
        name: String,
    },
}

#[derive(Deserialize)]
struct RawRequest<'a> {
    id: Option<String>,
    #[serde(borrow)]
    inputs: Vec<RawInput<'a>>,
    #[serde(default)]
    outputs: Vec<RawOutput>,
}

#[derive(Deserialize)]
struct RawInput<'a> {
    name: String,
    shape: Vec<usize>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    /// Read once the datatype is known: it may come after.
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct RawOutput {
    name: String,
}

/// Reads an inference request.
///
/// # Errors
/// What is wrong with it, naming the tensor.
pub fn parse(body: &[u8]) -> Result<InferRequest, Error> {
    let raw: RawRequest<'_> = serde_json::from_slice(body)?;
    let mut inputs: Vec<Input> = Vec::with_capacity(raw.inputs.len());
    for input in raw.inputs {
        let RawInput { name, shape, datatype, data } = input;
        if inputs.iter().any(|other| other.name == name) {
            return Err(Error::Duplicate { kind: "input", name });
        }
        let Some(datatype) = Datatype::from_name(&datatype) else {
            return Err(Error::Datatype { input: name, datatype: datatype.into_owned() });
        };
        match nested::read_shaped(datatype, data.get(), shape) {
            Ok(tensor) => inputs.push(Input { name, tensor }),
            Err(source) => return Err(Error::Data { input: name, source }),
        }
    }
    let mut outputs: Vec<String> = Vec::with_capacity(raw.outputs.len());
    for RawOutput { name } in raw.outputs {
        if outputs.contains(&name) {
            return Err(Error::Duplicate { kind: "output", name });
        }
        outputs.push(name);
    }
    Ok(InferRequest { id: raw.id, inputs, outputs })
}

/// Prints a response; tensors are flat lists, as Triton prints them.
#[must_use]
pub fn print(response: &InferResponse<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    member(&mut body, b'{', "model_name", response.model_name);
    member(&mut body, b',', "model_version", response.model_version);
    if let Some(id) = response.id {
        member(&mut body, b',', "id", id);
    }
    body.extend_from_slice(b",\"outputs\":[");
    for (at, Output { name, tensor }) in response.outputs.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        member(&mut body, b'{', "name", name);
        member(&mut body, b',', "datatype", tensor.datatype().name());
        body.extend_from_slice(b",\"shape\":");
        to_json(&mut body, tensor.shape());
        body.extend_from_slice(b",\"data\":");
        nested::write_flat(tensor, &mut body);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    body
}

fn member(body: &mut Vec<u8>, before: u8, name: &str, value: &str) {
    body.push(before);
    to_json(body, name);
    body.push(b':');
    to_json(body, value);
}

fn to_json<T: serde::Serialize + ?Sized>(body: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(body, value).expect("a Vec takes every byte, and strings and lists are valid JSON");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_in_any_order_of_its_members() {
        let body = br#"{"extra":{"a":[[1]]},"outputs":[{"name":"y","parameters":{"x":1}}],"id":"7",
            "inputs":[{"data":[[1,2],[3,4]],"datatype":"FP32","shape":[2,2],"name":"x"}]}"#;
        let request = parse(body).unwrap();
        assert_eq!(request.id.as_deref(), Some("7"));
        assert_eq!(request.outputs, ["y"]);
        assert_eq!(request.inputs[0].name, "x");
        assert_eq!(request.inputs[0].tensor.numbers::<f32>(), Some(&[1.0, 2.0, 3.0, 4.0][..]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |body: &str, says: &str| {
            let error = parse(body.as_bytes()).expect_err(body).to_string();
            assert!(error.contains(says), "{body}: {error}");
        };
        let input = |rest: &str| format!(r#"{{"inputs":[{{"name":"x",{rest}}}]}}"#);
        check("", "EOF");
        check("{}", "missing field `inputs`");
        check("[1", "inference request");
        check(r#"{"id":7,"inputs":[]}"#, "expected a string");
        check(
            &input(r#""shape":[1],"datatype":"FP31","data":[1]"#),
            "input 'x' has an unknown datatype 'FP31'",
        );
        check(&input(r#""shape":[1],"datatype":"FP32""#), "missing field `data`");
        check(&input(r#""shape":[-1],"datatype":"FP32","data":[1]"#), "-1");
        check(
            &input(r#""shape":[2],"datatype":"FP32","data":[1]"#),
            "input 'x': shape [2] needs 2 elements, got 1",
        );
        check(&input(r#""shape":[4611686018427387904,4],"datatype":"FP32","data":[1]"#), "too many elements");
        check(
            &input(r#""shape":[1],"datatype":"INT8","data":[200]"#),
            "input 'x': 200 is not a value of INT8",
        );
        let twice = r#"{"name":"x","shape":[1],"datatype":"FP32","data":[1]}"#;
        check(&format!(r#"{{"inputs":[{twice},{twice}]}}"#), "input 'x' is given twice");
        check(r#"{"inputs":[],"outputs":[{"name":"y"},{"name":"y"}]}"#, "output 'y' is given twice");
        let deep = format!(r#"{{"inputs":{}"#, "[".repeat(100_000));
        check(&deep, "inference request");
    }

    #[test]
    fn a_response_is_the_json_of_the_protocol() {
        let tensor = Tensor::from_numbers(vec![1, 2], vec![0.5f32, f32::NAN]).unwrap();
        let outputs = vec![Output { name: "y\"", tensor: &tensor }];
        let response = InferResponse { model_name: "m", model_version: "1", id: Some("a"), outputs };
        assert_eq!(
            String::from_utf8(print(&response)).unwrap(),
            r#"{"model_name":"m","model_version":"1","id":"a","outputs":[{"name":"y\"","datatype":"FP32","shape":[1,2],"data":[0.5,null]}]}"#
        );
    }
}
