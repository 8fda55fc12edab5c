//! Whether a model's rows have nothing to do with each other, found out by running it.
//!
//! A free first dimension is no proof: it may be time, and joined requests would then change each other's answers. So rows
//! that are run together are compared with the same rows run apart.

use crate::model::engine::{Engine, Interrupt, RunError, Signature};
use predictd_protocol::inference::{
    document::Document,
    spec::TensorSpec,
    tensor::{self, Data, Datatype, Tensor},
};
use std::{
    ops::Range,
    time::{Duration, Instant},
};

/// What the trial has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Rows are independent.
    Independent,
    /// They are not, and why.
    Dependent(String),
    /// The model did not like what it was tried with, so that only the names of its dimensions speak.
    Unknown(Vec<String>),
}

impl Verdict {
    /// Why requests must not be joined, if so.
    pub(super) fn reason_against(&self) -> Option<String> {
        match self {
            Self::Independent => None,
            Self::Dependent(reason) => Some(reason.clone()),
            Self::Unknown(names) if names.len() < 2 => None,
            Self::Unknown(names) => {
                Some(format!("its first dimensions have different names: {}", names.join(", ")))
            }
        }
    }
}

/// Sizes for the other dimensions that may be of any size: pictures want multiples of 32, some readers of lines a height of 48.
const SIZES: [usize; 3] = [32, 48, 8];

/// What answers may differ by, relative to the largest: other kernels for other batches round otherwise, and models with
/// quantised activations do so more.
const TOLERANCE: f32 = 0.02;

/// Runs three rows together, then two and one of them apart.
pub(super) fn rows_are_independent(engine: &dyn Engine, interrupt: &Interrupt) -> Verdict {
    let signature = engine.signature();
    for size in SIZES {
        if let Some(verdict) = compare(engine, signature, size, interrupt) {
            return verdict;
        }
        if interrupt.is_terminated() {
            return Verdict::Dependent("whether they may share runs could not be tried in time".into());
        }
        if signature.inputs.iter().all(|spec| spec.shape[1..].iter().all(Option::is_some)) {
            break;
        }
    }
    Verdict::Unknown(signature.row_names.clone())
}

/// Runs the model once on made-up tensors of so many rows: gives them, and how long it took.
///
/// # Errors
/// Where no size for dimensions that may be of any will do, why not.
pub fn first_run(
    engine: &dyn Engine,
    rows: usize,
    interrupt: &Interrupt,
) -> Result<(Vec<Tensor>, Duration), String> {
    let specs = &engine.signature().inputs;
    let mut reason = String::new();
    for size in SIZES {
        let made = specs.iter().enumerate().map(|(input, spec)| {
            let dims = spec.shape.iter().enumerate();
            let shape: Vec<usize> =
                dims.map(|(at, dim)| dim.unwrap_or(if at == 0 { rows } else { size })).collect();
            let count = tensor::elements(&shape).filter(|count| *count <= 1 << 26)?;
            filled(spec.datatype, input, shape, 0..count)
        });
        let Some(inputs) = made.collect::<Option<Vec<_>>>() else {
            return Err("its inputs are too large to make up".into());
        };
        let begun = Instant::now();
        match engine.run(&inputs, interrupt) {
            Ok(_) => return Ok((inputs, begun.elapsed())),
            Err(error @ RunError::Terminated) => return Err(error.to_string()),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// `None` where the model cannot be run with this.
fn compare(
    engine: &dyn Engine,
    signature: &Signature,
    size: usize,
    interrupt: &Interrupt,
) -> Option<Verdict> {
    let inputs = |rows: Range<usize>| -> Option<Vec<Tensor>> {
        signature.inputs.iter().enumerate().map(|(at, spec)| rows_of(spec, at, rows.clone(), size)).collect()
    };
    let run = |rows| engine.run(&inputs(rows)?, interrupt).ok();
    let (together, first, second) = (run(0..3)?, run(0..2)?, run(2..3)?);
    for (at, spec) in signature.outputs.iter().enumerate() {
        let name = &spec.name;
        let rows = |tensor: &Tensor| tensor.shape().first().copied();
        if (rows(&together[at]), rows(&first[at]), rows(&second[at])) != (Some(3), Some(2), Some(1)) {
            let text = format!("its output '{name}' does not have a row for each row of the inputs");
            return Some(Verdict::Dependent(text));
        }
        let apart = (0..2).map(|row| first[at].row(row)).chain([second[at].row(0)]);
        let same = apart.enumerate().all(|(row, apart)| match (together[at].row(row), apart) {
            (Some(together), Some(apart)) => equal(&together, &apart),
            _ => false,
        });
        if !same {
            let text = format!("a row of its output '{name}' depends on the other rows, or on chance");
            return Some(Verdict::Dependent(text));
        }
    }
    Some(Verdict::Independent)
}

fn equal(a: &Tensor, b: &Tensor) -> bool {
    if a.shape() != b.shape() {
        return false;
    }
    if let (Data::Documents(a), Data::Documents(b)) = (a.data(), b.data()) {
        return a.iter().zip(b).all(|(a, b)| equal_documents(a, b));
    }
    let (Some(a_numbers), Some(b_numbers)) = (a.to_f32(), b.to_f32()) else { return a.data() == b.data() };
    let largest = a_numbers.iter().filter(|x| x.is_finite()).fold(0.0f32, |largest, x| largest.max(x.abs()));
    let close = |(a, b): (&f32, &f32)| {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * largest
    };
    a_numbers.iter().zip(&b_numbers).all(close)
}

fn equal_documents(a: &Document, b: &Document) -> bool {
    match (a, b) {
        (Document::Tensor(a), Document::Tensor(b)) => equal(a, b),
        (Document::Map(a), Document::Map(b)) => a.keys() == b.keys() && equal(a.values(), b.values()),
        _ => false,
    }
}

/// Some rows of an endless tensor: numbers between 0 and 1, integers of 0 and 1, which most tables have.
fn rows_of(spec: &TensorSpec, input: usize, rows: Range<usize>, size: usize) -> Option<Tensor> {
    let tail: Vec<usize> = spec.shape.iter().skip(1).map(|dim| dim.unwrap_or(size)).collect();
    let per_row = tensor::elements(&tail).filter(|count| *count <= 1 << 24)?;
    let shape: Vec<usize> = std::iter::once(rows.len()).chain(tail).collect();
    filled(spec.datatype, input, shape, rows.start * per_row..rows.end * per_row)
}

/// A tensor of these elements of the endless one.
fn filled(datatype: Datatype, input: usize, shape: Vec<usize>, elements: Range<usize>) -> Option<Tensor> {
    // Knuth's multiplicative hash: the same rows whoever asks.
    let hash = |at: usize| (at as u32).wrapping_add(input as u32 * 7919).wrapping_mul(2_654_435_761) >> 8;
    let unit = |at| hash(at) as f32 / 16_777_216.0;
    let bit = |at| (hash(at) & 1) as u8;
    let bytes = |of: fn(u8) -> Vec<u8>| elements.clone().flat_map(|at| of(bit(at))).collect::<Vec<u8>>();
    let data = match datatype {
        Datatype::Fp16 => elements.flat_map(|at| half::f16::from_f32(unit(at)).to_le_bytes()).collect(),
        Datatype::Bf16 => elements.flat_map(|at| half::bf16::from_f32(unit(at)).to_le_bytes()).collect(),
        Datatype::Fp32 => elements.flat_map(|at| unit(at).to_le_bytes()).collect(),
        Datatype::Fp64 => elements.flat_map(|at| f64::from(unit(at)).to_le_bytes()).collect(),
        Datatype::Bool | Datatype::Uint8 | Datatype::Int8 => bytes(|bit| vec![bit]),
        Datatype::Uint16 | Datatype::Int16 => bytes(|bit| vec![bit, 0]),
        Datatype::Uint32 | Datatype::Int32 => bytes(|bit| u32::from(bit).to_le_bytes().to_vec()),
        Datatype::Uint64 | Datatype::Int64 => bytes(|bit| u64::from(bit).to_le_bytes().to_vec()),
        Datatype::Bytes => {
            let strings = elements.map(|at| if bit(at) == 0 { "a" } else { "b" }).collect();
            return Tensor::from_strings(shape, strings).ok();
        }
    };
    Tensor::from_bytes(datatype, shape, data.into()).ok()
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
