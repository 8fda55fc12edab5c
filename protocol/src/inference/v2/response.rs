//! An inference response: a head of JSON, and behind it the tensors that were asked for as bytes.

use super::binary;
use crate::inference::{
    nested::{self, NotText},
    tensor::Tensor,
};
use bytes::Bytes;
use std::mem;

/// A tensor up to so many bytes is copied to those before it: that costs less than to send one more piece.
const COPY_UP_TO: usize = 16 * 1024;

/// What is answered.
#[derive(Clone, Debug)]
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

/// A tensor of a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Output<'a> {
    /// The model's name for it.
    pub name: &'a str,
    /// The data.
    pub tensor: &'a Tensor,
    /// Whether it is sent as bytes.
    pub binary: bool,
}

/// Why an output cannot be printed as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("output '{output}': {source}; ask for it as bytes, by \"parameters\": {{\"binary_data\": true}}")]
pub struct PrintError {
    /// The model's name for it.
    pub output: String,
    /// What is in the way.
    pub source: NotText,
}

/// A response as it is sent: the head, then each of the tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The JSON.
    pub head: Vec<u8>,
    /// What follows it; numbers are shared with the tensors that were printed.
    pub tensors: Vec<Bytes>,
}

impl Printed {
    /// The value of `Inference-Header-Content-Length`, which an answer of JSON alone does not have.
    #[must_use]
    pub fn header_length(&self) -> Option<usize> {
        (!self.tensors.is_empty()).then_some(self.head.len())
    }

    /// The body: the head, and the tensors that are large by themselves, not copied.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Bytes> {
        let small = self.tensors.iter().filter(|tensor| tensor.len() <= COPY_UP_TO);
        let (mut pieces, mut open) = (Vec::new(), self.head);
        open.reserve_exact(small.map(Bytes::len).sum());
        for tensor in self.tensors {
            if tensor.len() <= COPY_UP_TO {
                open.extend_from_slice(&tensor);
            } else {
                pieces.push(mem::take(&mut open).into());
                pieces.push(tensor);
            }
        }
        pieces.push(open.into());
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

/// Prints a response; tensors that are JSON are flat lists, as Triton prints them.
///
/// # Errors
/// Where a string that is not UTF-8 was to be JSON.
pub fn print(response: &InferResponse<'_>) -> Result<Printed, PrintError> {
    let (mut head, mut tensors) = (Vec::with_capacity(256), Vec::new());
    member(&mut head, b'{', "model_name", response.model_name);
    member(&mut head, b',', "model_version", response.model_version);
    if let Some(id) = response.id {
        member(&mut head, b',', "id", id);
    }
    head.extend_from_slice(b",\"outputs\":[");
    for (at, Output { name, tensor, binary }) in response.outputs.iter().enumerate() {
        if at > 0 {
            head.push(b',');
        }
        member(&mut head, b'{', "name", name);
        member(&mut head, b',', "datatype", tensor.datatype().name());
        head.extend_from_slice(b",\"shape\":");
        to_json(&mut head, tensor.shape());
        if *binary {
            let bytes = binary::print(tensor);
            head.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
            to_json(&mut head, &bytes.len());
            head.push(b'}');
            tensors.push(bytes);
        } else {
            head.extend_from_slice(b",\"data\":");
            nested::write_flat(tensor, &mut head)
                .map_err(|source| PrintError { output: (*name).to_owned(), source })?;
        }
        head.push(b'}');
    }
    head.extend_from_slice(b"]}");
    Ok(Printed { head, tensors })
}

fn member(head: &mut Vec<u8>, before: u8, name: &str, value: &str) {
    head.push(before);
    to_json(head, name);
    head.push(b':');
    to_json(head, value);
}

fn to_json<T: serde::Serialize + ?Sized>(head: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(head, value).expect("a Vec takes every byte, and strings and lists are valid JSON");
}
