//! Tensors and documents printed as JSON.

use super::{Dialect, WORDS, leaf::to_base64};
use crate::inference::{
    document::{Document, Map},
    tensor::{Data, Datatype, Tensor},
};
use bytemuck::AnyBitPattern;
use half::{bf16, f16};
use serde::Serialize;

/// A string that JSON cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("element {index} is not UTF-8, which JSON cannot carry")]
pub struct NotText {
    /// Counted from 0, whatever the shape.
    pub index: usize,
}

/// Appends `tensor` as `/predict` answers: nested lists, or a bare element where it has no dimensions. What is not finite
/// becomes `null`, since JSON has no word for it, and a string that is not UTF-8 `{"b64": "..."}`.
pub fn write(tensor: &Tensor, output: &mut Vec<u8>) {
    write_in(Dialect::Predict, false, tensor, output);
}

/// Appends `tensor` as one flat list, as the Open Inference Protocol has it; a document is a text there.
pub(in crate::inference) fn write_flat(tensor: &Tensor, output: &mut Vec<u8>) -> Result<(), NotText> {
    let texts: Vec<Vec<u8>>;
    let texts: Vec<&[u8]> = match tensor.data() {
        Data::Numbers(bytes) => {
            let (datatype, dims) = (tensor.datatype(), &[tensor.elements()]);
            write_numbers(datatype, bytes, dims, Dialect::OpenInference, output);
            return Ok(());
        }
        Data::Strings(strings) => strings.iter().collect(),
        Data::Documents(documents) => {
            texts = documents.iter().map(write_document).collect();
            texts.iter().map(|text| &text[..]).collect()
        }
    };
    output.push(b'[');
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            output.push(b',');
        }
        json(std::str::from_utf8(text).map_err(|_| NotText { index })?, output);
    }
    output.push(b']');
    Ok(())
}

/// A document by itself, for a protocol that has none: as `/predict` has them.
pub(in crate::inference) fn write_document(document: &Document) -> Vec<u8> {
    let mut output = Vec::with_capacity(64);
    document_in(Dialect::Predict, document, &mut output);
    output
}

/// As [`write`], with `dialect`'s words for what is not finite, and all strings in base64 where `base64` says so.
pub(in crate::inference) fn write_in(dialect: Dialect, base64: bool, tensor: &Tensor, output: &mut Vec<u8>) {
    let dims = tensor.shape();
    match tensor.data() {
        Data::Numbers(bytes) => write_numbers(tensor.datatype(), bytes, dims, dialect, output),
        Data::Strings(strings) => {
            write_lists(&mut strings.iter(), dims, output, &|string, output| {
                write_string(base64, string, output);
            });
        }
        Data::Documents(documents) => {
            write_lists(&mut documents.iter(), dims, output, &|document, output| {
                document_in(dialect, document, output);
            });
        }
    }
}

fn document_in(dialect: Dialect, document: &Document, output: &mut Vec<u8>) {
    match document {
        Document::Tensor(tensor) => write_in(dialect, false, tensor, output),
        Document::Map(map) => write_map(dialect, map, output),
    }
}

fn write_map(dialect: Dialect, map: &Map, output: &mut Vec<u8>) {
    output.push(b'{');
    for at in 0..map.keys().elements() {
        if at > 0 {
            output.push(b',');
        }
        // JSON's names are strings.
        let quote = matches!(map.keys().data(), Data::Numbers(_)).then_some(b'"');
        output.extend(quote);
        write_element(dialect, map.keys(), at, output);
        output.extend(quote);
        output.push(b':');
        write_element(dialect, map.values(), at, output);
    }
    output.push(b'}');
}

/// The element at `at`, whatever the shape.
fn write_element(dialect: Dialect, tensor: &Tensor, at: usize, output: &mut Vec<u8>) {
    match tensor.data() {
        Data::Numbers(bytes) => {
            let size = bytes.len() / tensor.elements();
            let element = &bytes[at * size..(at + 1) * size];
            write_numbers(tensor.datatype(), element, &[], dialect, output);
        }
        Data::Strings(strings) => write_string(false, &strings[at], output),
        Data::Documents(documents) => document_in(dialect, &documents[at], output),
    }
}

fn write_numbers(datatype: Datatype, bytes: &[u8], dims: &[usize], dialect: Dialect, output: &mut Vec<u8>) {
    match datatype {
        Datatype::Bool => write_each(bytes, dims, output, |byte: u8, output| json(&(byte != 0), output)),
        // Strings have no such bytes; were there any, they would print as they are.
        Datatype::Uint8 | Datatype::Bytes => write_each(bytes, dims, output, print::<u8>),
        Datatype::Uint16 => write_each(bytes, dims, output, print::<u16>),
        Datatype::Uint32 => write_each(bytes, dims, output, print::<u32>),
        Datatype::Uint64 => write_each(bytes, dims, output, print::<u64>),
        Datatype::Int8 => write_each(bytes, dims, output, print::<i8>),
        Datatype::Int16 => write_each(bytes, dims, output, print::<i16>),
        Datatype::Int32 => write_each(bytes, dims, output, print::<i32>),
        Datatype::Int64 => write_each(bytes, dims, output, print::<i64>),
        Datatype::Fp16 => {
            write_each(bytes, dims, output, |number: f16, output| float(number.to_f32(), dialect, output));
        }
        Datatype::Bf16 => {
            write_each(bytes, dims, output, |number: bf16, output| float(number.to_f32(), dialect, output));
        }
        Datatype::Fp32 => {
            write_each(bytes, dims, output, |number: f32, output| float(number, dialect, output));
        }
        Datatype::Fp64 => {
            write_each(bytes, dims, output, |number: f64, output| float(number, dialect, output));
        }
    }
}

fn write_each<T: AnyBitPattern>(
    bytes: &[u8],
    dims: &[usize],
    output: &mut Vec<u8>,
    print: impl Fn(T, &mut Vec<u8>),
) {
    let mut numbers = bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned);
    write_lists(&mut numbers, dims, output, &print);
}

fn write_lists<E>(
    elements: &mut impl Iterator<Item = E>,
    dims: &[usize],
    output: &mut Vec<u8>,
    print: &impl Fn(E, &mut Vec<u8>),
) {
    let Some((&length, inner)) = dims.split_first() else {
        if let Some(element) = elements.next() {
            print(element, output);
        }
        return;
    };
    output.push(b'[');
    for at in 0..length {
        if at > 0 {
            output.push(b',');
        }
        write_lists(elements, inner, output, print);
    }
    output.push(b']');
}

/// Prints a number that is not finite as a word where `dialect` has one, else as serde does: `null`.
fn float<T: Serialize + Copy + Into<f64>>(number: T, dialect: Dialect, output: &mut Vec<u8>) {
    let value: f64 = number.into();
    if !dialect.writes_words() || value.is_finite() {
        return json(&number, output);
    }
    let [nan, positive, negative] = WORDS;
    let word = if value.is_nan() {
        nan
    } else if value > 0.0 {
        positive
    } else {
        negative
    };
    output.extend_from_slice(word.as_bytes());
}

fn print<T: Serialize>(number: T, output: &mut Vec<u8>) {
    json(&number, output);
}

/// A text, or what is none, or is not to be one, in base64.
fn write_string(base64: bool, string: &[u8], output: &mut Vec<u8>) {
    match std::str::from_utf8(string) {
        Ok(text) if !base64 => json(text, output),
        _ => {
            output.extend_from_slice(b"{\"b64\":\"");
            output.extend_from_slice(to_base64(string).as_bytes());
            output.extend_from_slice(b"\"}");
        }
    }
}

fn json<T: Serialize + ?Sized>(value: &T, output: &mut Vec<u8>) {
    serde_json::to_writer(output, value).expect("a Vec takes every byte, and an element is valid JSON");
}
