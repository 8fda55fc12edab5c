//! Which requests share a run, how their tensors are joined, and how the outputs are split again. Pure.

use bytes::{Bytes, BytesMut};
use predictd_protocol::inference::tensor::{Data, Tensor};
use std::ops::Range;

/// The rows of a request: the first dimension that all its tensors share; one where there is none.
pub(super) fn rows(tensors: &[Tensor]) -> usize {
    let mut firsts = tensors.iter().map(|tensor| tensor.shape().first().copied());
    match firsts.next() {
        Some(Some(first)) if firsts.all(|other| other == Some(first)) => first,
        _ => 1,
    }
}

/// Whether every tensor has as many rows as every other: only then can they be joined with others.
pub(super) fn has_rows(tensors: &[Tensor]) -> bool {
    let mut firsts = tensors.iter().map(|tensor| tensor.shape().first().copied());
    matches!(firsts.next(), Some(Some(first)) if first > 0 && firsts.all(|other| other == Some(first)))
}

/// Whether two requests' tensors differ in nothing but the number of rows.
pub(super) fn alike(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len()
        && has_rows(a)
        && has_rows(b)
        && a.iter().zip(b).all(|(a, b)| a.datatype() == b.datatype() && a.shape()[1..] == b.shape()[1..])
}

/// Puts the rows of alike requests one below the other.
pub(super) fn join(requests: &[&[Tensor]]) -> Vec<Tensor> {
    let Some((first, others)) = requests.split_first() else { return Vec::new() };
    if others.is_empty() {
        return first.to_vec();
    }
    let column = |at: usize| {
        let parts: Vec<&Tensor> = requests.iter().map(|tensors| &tensors[at]).collect();
        let mut shape = first[at].shape().to_vec();
        shape[0] = parts.iter().map(|part| part.shape()[0]).sum();
        match first[at].data() {
            Data::Numbers(_) => {
                let pieces = || parts.iter().map(|part| numbers(part));
                let mut joined = BytesMut::with_capacity(pieces().map(Bytes::len).sum());
                pieces().for_each(|piece| joined.extend_from_slice(piece));
                Tensor::from_bytes(first[at].datatype(), shape, joined.freeze())
            }
            Data::Strings(_) => {
                let strings = parts.iter().flat_map(|part| strings(part)).cloned().collect();
                Tensor::from_strings(shape, strings)
            }
        }
        .expect("alike tensors have as many elements as their shapes say")
    };
    (0..first.len()).map(column).collect()
}

/// Gives each request its rows of the outputs, in order; `None` where an output does not have one row for one row.
pub(super) fn split(outputs: &[Tensor], rows: &[usize]) -> Option<Vec<Vec<Tensor>>> {
    let all: usize = rows.iter().sum();
    if outputs.iter().any(|output| output.shape().first() != Some(&all)) {
        return None;
    }
    let mut begin = 0;
    let parts = rows.iter().map(|rows| {
        let range = begin..begin + rows;
        begin = range.end;
        outputs.iter().map(|output| part(output, &range)).collect()
    });
    Some(parts.collect())
}

/// Some rows of a tensor that has `range.end` of them at least; not copied.
fn part(tensor: &Tensor, range: &Range<usize>) -> Tensor {
    let all = tensor.shape()[0].max(1);
    let mut shape = tensor.shape().to_vec();
    shape[0] = range.len();
    match tensor.data() {
        Data::Numbers(bytes) => {
            let row = bytes.len() / all;
            Tensor::from_bytes(tensor.datatype(), shape, bytes.slice(range.start * row..range.end * row))
        }
        Data::Strings(strings) => {
            let row = strings.len() / all;
            Tensor::from_strings(shape, strings[range.start * row..range.end * row].to_vec())
        }
    }
    .expect("so many rows have as many elements as their shape says")
}

fn numbers(tensor: &Tensor) -> &Bytes {
    match tensor.data() {
        Data::Numbers(bytes) => bytes,
        Data::Strings(_) => unreachable!("alike tensors are of one datatype"),
    }
}

fn strings(tensor: &Tensor) -> &[Bytes] {
    match tensor.data() {
        Data::Strings(strings) => strings,
        Data::Numbers(_) => unreachable!("alike tensors are of one datatype"),
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
