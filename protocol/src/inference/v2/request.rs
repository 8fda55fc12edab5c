//! An inference request, whatever the form of its tensors.
//!
//! The body is JSON, or JSON and the bytes of tensors behind it, or nothing but the bytes of one tensor:
//! `Inference-Header-Content-Length` tells how much of it is JSON (Triton, `extension_binary_data.md`).

use super::{binary, json};
use crate::{
    excerpt::excerpt,
    inference::{SyntaxError, nested, spec::TensorSpec, tensor::Tensor},
};
use bytes::Bytes;
use std::{collections::HashSet, time::Duration};

/// What the client asks.
#[derive(Clone, Debug, PartialEq)]
pub struct InferRequest {
    /// To be given back as it is.
    pub id: Option<String>,
    /// The time that the client gives us; to the microsecond, never zero.
    pub timeout: Option<Duration>,
    /// The tensors, by name, in the order sent.
    pub inputs: Vec<Input>,
    /// The outputs wanted; empty for all.
    pub outputs: Vec<RequestedOutput>,
    /// Whether outputs that do not say otherwise are sent as bytes.
    pub binary_output: bool,
}

impl InferRequest {
    /// Whether an output is to be sent as bytes.
    #[must_use]
    pub fn is_binary(&self, output: &str) -> bool {
        let asked = self.outputs.iter().find(|asked| asked.name == output);
        asked.and_then(|asked| asked.binary).unwrap_or(self.binary_output)
    }
}

/// A tensor of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The model's name for it.
    pub name: String,
    /// The data.
    pub tensor: Tensor,
}

/// A tensor that the answer must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedOutput {
    /// The model's name for it.
    pub name: String,
    /// Whether it is to be sent as bytes, where that is said.
    pub binary: Option<bool>,
    /// How many of the best classes are wanted in its place, at least one (Triton, `extension_classification.md`).
    pub classification: Option<usize>,
}

/// Why a body is no inference request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not the JSON of the protocol.
    #[error("the body is not an inference request: {0}")]
    Json(#[from] SyntaxError),
    /// The JSON is said to be longer than the body.
    #[error("Inference-Header-Content-Length is {header}, the body has {body} bytes")]
    HeaderLength {
        /// What the header says.
        header: usize,
        /// What has come.
        body: usize,
    },
    /// A datatype that the protocol does not have.
    #[error("input '{}' has an unknown datatype '{}'", excerpt(.input), excerpt(.datatype))]
    Datatype {
        /// The tensor's name.
        input: String,
        /// What it says.
        datatype: String,
    },
    /// Data that does not fit datatype or shape.
    #[error("input '{}': {source}", excerpt(.input))]
    Data {
        /// The tensor's name.
        input: String,
        /// What is wrong.
        source: nested::Error,
    },
    /// Bytes that do not fit datatype or shape.
    #[error("input '{}': {source}", excerpt(.input))]
    Binary {
        /// The tensor's name.
        input: String,
        /// What is wrong.
        source: binary::Error,
    },
    /// A tensor is JSON or bytes, and one of them.
    #[error("input '{}' has {has} `data` {and} `parameters.binary_data_size`", excerpt(.input))]
    Form {
        /// The tensor's name.
        input: String,
        /// Both or neither.
        has: &'static str,
        /// And, or nor.
        and: &'static str,
    },
    /// Two tensors of one name.
    #[error("{kind} '{}' is given twice", excerpt(.name))]
    Duplicate {
        /// Input or output.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Bytes that no tensor claims.
    #[error("{0} bytes are left in the body behind the last input's")]
    Leftover(usize),
    /// Bytes alone for a model that needs several tensors.
    #[error(
        "a body of nothing but bytes (Inference-Header-Content-Length 0) is for a model of one input, this has {0}"
    )]
    RawInputs(usize),
}

/// Reads an inference request. `header_length` is what `Inference-Header-Content-Length` says: without it all is JSON,
/// with 0 all is the bytes of the only one of the model's `inputs`. Tensors sent as bytes are parts of `body`, not copied.
///
/// # Errors
/// What is wrong with it, naming the tensor.
pub fn parse(
    body: &Bytes,
    header_length: Option<usize>,
    inputs: &[TensorSpec],
) -> Result<InferRequest, Error> {
    let length = header_length.unwrap_or(body.len());
    if length > body.len() {
        return Err(Error::HeaderLength { header: length, body: body.len() });
    }
    if header_length == Some(0) {
        return parse_raw(body, inputs);
    }
    let request = json::parse(&body[..length])?;
    check_names("input", request.inputs.iter().map(|input| &*input.name))?;
    check_names("output", request.outputs.iter().map(|output| &*output.name))?;
    let mut rest = body.slice(length..);
    let inputs = request.inputs.into_iter().map(|input| take(input, &mut rest)).collect::<Result<_, _>>()?;
    if !rest.is_empty() {
        return Err(Error::Leftover(rest.len()));
    }
    Ok(InferRequest {
        id: request.id,
        timeout: request.timeout.filter(|micros| *micros > 0).map(Duration::from_micros),
        inputs,
        outputs: request.outputs,
        binary_output: request.binary_output,
    })
}

/// The answer to bytes alone has bytes alone, as in Triton.
fn parse_raw(body: &Bytes, inputs: &[TensorSpec]) -> Result<InferRequest, Error> {
    let [spec] = inputs else { return Err(Error::RawInputs(inputs.len())) };
    let name = spec.name.clone();
    match binary::raw(spec, body) {
        Ok(tensor) => Ok(InferRequest {
            id: None,
            timeout: None,
            inputs: vec![Input { name, tensor }],
            outputs: Vec::new(),
            binary_output: true,
        }),
        Err(source) => Err(Error::Binary { input: name, source }),
    }
}

/// An input's tensor; where it was sent as bytes, they are the first of `rest`.
fn take(input: json::Input, rest: &mut Bytes) -> Result<Input, Error> {
    let json::Input { name, data } = input;
    let tensor = match data {
        json::Data::Read(tensor) => tensor,
        json::Data::Bytes { datatype, shape, size } => {
            match binary::take(rest, size).and_then(|bytes| binary::read(datatype, shape, bytes)) {
                Ok(tensor) => tensor,
                Err(source) => return Err(Error::Binary { input: name, source }),
            }
        }
    };
    Ok(Input { name, tensor })
}

fn check_names<'a>(kind: &'static str, mut names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(Error::Duplicate { kind, name: name.to_owned() }),
        None => Ok(()),
    }
}
