//! Tensors printed as JSON lists.

use super::{Dialect, WORDS, leaf::to_base64};
use crate::inference::tensor::{Data, Datatype, Tensor};
use bytemuck::AnyBitPattern;
use bytes::Bytes;
use half::{bf16, f16};
use serde::Serialize;

/// Appends `tensor` as nested lists, or as a bare element where it has no dimensions. What is not finite becomes
/// `null`, since JSON has no word for it; in strings that are not UTF-8 the bad bytes are replaced.
pub fn write(tensor: &Tensor, output: &mut Vec<u8>) {
    write_as(tensor, tensor.shape(), output, Dialect::Json, write_string);
}

/// Appends `tensor` as one flat list.
pub fn write_flat(tensor: &Tensor, output: &mut Vec<u8>) {
    write_as(tensor, &[tensor.elements()], output, Dialect::Json, write_string);
}

/// As [`write`], with `dialect`'s words for what is not finite, and strings in base64 where `base64` says so.
pub(in crate::inference) fn write_in(dialect: Dialect, base64: bool, tensor: &Tensor, output: &mut Vec<u8>) {
    write_as(tensor, tensor.shape(), output, dialect, if base64 { write_base64 } else { write_string });
}

fn write_as(
    tensor: &Tensor,
    dims: &[usize],
    output: &mut Vec<u8>,
    dialect: Dialect,
    string: fn(&Bytes, &mut Vec<u8>),
) {
    let bytes = match tensor.data() {
        Data::Strings(strings) => return write_lists(&mut strings.iter(), dims, output, &string),
        Data::Numbers(bytes) => bytes,
    };
    match tensor.datatype() {
        Datatype::Bool => write_numbers(bytes, dims, output, |byte: u8, output| json(&(byte != 0), output)),
        // Strings have no such bytes; were there any, they would print as they are.
        Datatype::Uint8 | Datatype::Bytes => write_numbers(bytes, dims, output, print::<u8>),
        Datatype::Uint16 => write_numbers(bytes, dims, output, print::<u16>),
        Datatype::Uint32 => write_numbers(bytes, dims, output, print::<u32>),
        Datatype::Uint64 => write_numbers(bytes, dims, output, print::<u64>),
        Datatype::Int8 => write_numbers(bytes, dims, output, print::<i8>),
        Datatype::Int16 => write_numbers(bytes, dims, output, print::<i16>),
        Datatype::Int32 => write_numbers(bytes, dims, output, print::<i32>),
        Datatype::Int64 => write_numbers(bytes, dims, output, print::<i64>),
        Datatype::Fp16 => {
            write_numbers(bytes, dims, output, |number: f16, output| float(number.to_f32(), dialect, output));
        }
        Datatype::Bf16 => {
            write_numbers(bytes, dims, output, |number: bf16, output| {
                float(number.to_f32(), dialect, output);
            });
        }
        Datatype::Fp32 => {
            write_numbers(bytes, dims, output, |number: f32, output| float(number, dialect, output));
        }
        Datatype::Fp64 => {
            write_numbers(bytes, dims, output, |number: f64, output| float(number, dialect, output));
        }
    }
}

fn write_numbers<T: AnyBitPattern>(
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
    if dialect == Dialect::Json || value.is_finite() {
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

fn write_string(string: &Bytes, output: &mut Vec<u8>) {
    json(&String::from_utf8_lossy(string), output);
}

fn write_base64(string: &Bytes, output: &mut Vec<u8>) {
    output.extend_from_slice(b"{\"b64\":\"");
    output.extend_from_slice(to_base64(string).as_bytes());
    output.extend_from_slice(b"\"}");
}

fn json<T: Serialize + ?Sized>(value: &T, output: &mut Vec<u8>) {
    serde_json::to_writer(output, value).expect("a Vec takes every byte, and an element is valid JSON");
}
