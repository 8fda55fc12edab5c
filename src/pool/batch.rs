//! Which requests share a run, how their tensors are joined, and how the outputs are split again. Pure.

use bytes::{Bytes, BytesMut};
use predictd_protocol::inference::{
    strings::Strings,
    tensor::{Data, Tensor},
};

/// The rows of a request: the first dimension that all its tensors share; one where there is none.
pub(super) fn rows(tensors: &[Tensor]) -> usize {
    shared_rows(tensors).unwrap_or(1)
}

/// The first dimension, if all tensors have the same and something in it: only then can they be joined with others. What
/// has no elements may claim any number of rows.
fn shared_rows(tensors: &[Tensor]) -> Option<usize> {
    let rows = *tensors.first()?.shape().first()?;
    let has_them = |tensor: &Tensor| tensor.shape().first() == Some(&rows) && tensor.elements() > 0;
    tensors.iter().all(has_them).then_some(rows)
}

/// Whether two requests' tensors differ in nothing but the number of rows.
pub(super) fn alike(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len()
        && shared_rows(a).is_some()
        && shared_rows(b).is_some()
        && a.iter().zip(b).all(|(a, b)| a.datatype() == b.datatype() && a.shape()[1..] == b.shape()[1..])
}

/// Puts the rows of alike requests one below the other.
pub(super) fn join(requests: &[&[Tensor]]) -> Vec<Tensor> {
    let Some((first, others)) = requests.split_first() else { return Vec::new() };
    if others.is_empty() {
        return first.to_vec();
    }
    let column = |at: usize| joined(&requests.iter().map(|tensors| &tensors[at]).collect::<Vec<_>>());
    (0..first.len()).map(column).collect()
}

/// One tensor of the rows of alike ones.
fn joined(parts: &[&Tensor]) -> Tensor {
    let first = parts[0];
    let mut shape = first.shape().to_vec();
    shape[0] = parts.iter().map(|part| part.shape()[0]).sum();
    match first.data() {
        Data::Numbers(_) => {
            let pieces = || {
                parts.iter().filter_map(|part| match part.data() {
                    Data::Numbers(bytes) => Some(bytes),
                    _ => None,
                })
            };
            let mut joined = BytesMut::with_capacity(pieces().map(Bytes::len).sum());
            pieces().for_each(|piece| joined.extend_from_slice(piece));
            Tensor::from_bytes(first.datatype(), shape, joined.freeze())
        }
        Data::Strings(_) => {
            let pieces = parts.iter().filter_map(|part| match part.data() {
                Data::Strings(strings) => Some(strings),
                _ => None,
            });
            Tensor::from_strings(shape, pieces.flat_map(Strings::iter).collect())
        }
        Data::Documents(_) => {
            let pieces = parts.iter().filter_map(|part| match part.data() {
                Data::Documents(documents) => Some(documents),
                _ => None,
            });
            Tensor::from_documents(shape, pieces.flatten().cloned().collect())
        }
    }
    .expect("alike tensors are of one kind, and have as many elements as their shapes say")
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
        outputs.iter().map(|output| output.rows(range.clone())).collect()
    });
    parts.collect()
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
