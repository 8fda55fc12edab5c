//! Tensors as bytes: little-endian and row-major, `BOOL` as one byte, `BYTES` as elements of a length of four bytes and
//! that many bytes (Triton, `extension_binary_data.md`).
//!
//! Reading copies no element: a tensor is a part of the body, and what a shape or a length claims is compared with what
//! has come.

use crate::inference::{
    nested,
    spec::{Dims, TensorSpec},
    strings::Strings,
    tensor::{self, Data, Datatype, Tensor},
};
use bytes::Bytes;

/// Why bytes are not the tensor that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body ends before the tensor does.
    #[error("binary_data_size is {expected}, the body has {got} bytes left")]
    Short {
        /// What the input says.
        expected: usize,
        /// What is left for it.
        got: usize,
    },
    /// A string that ends before its length says.
    #[error("element {index} needs {expected} bytes, {got} are left")]
    Element {
        /// Counted from 0.
        index: usize,
        /// Its length, or that of its length.
        expected: usize,
        /// What is left for it.
        got: usize,
    },
    /// Not as many bytes or elements as the shape says.
    #[error(transparent)]
    Shape(#[from] tensor::Error),
    /// A body of nothing but bytes has to tell the shape by its length.
    #[error("bytes alone do not tell the shape of a {datatype} tensor of {dims}")]
    Ambiguous {
        /// The model's.
        datatype: Datatype,
        /// The model's.
        dims: Dims,
    },
    /// A body of nothing but bytes that is no whole number of rows.
    #[error("{got} bytes are no {datatype} tensor of {dims}: that needs a multiple of {unit}")]
    Rows {
        /// The model's.
        datatype: Datatype,
        /// The model's.
        dims: Dims,
        /// Bytes of all dimensions whose size is known.
        unit: usize,
        /// What has come.
        got: usize,
    },
}

/// Takes `size` bytes from the front of `rest`.
pub(super) fn take(rest: &mut Bytes, size: usize) -> Result<Bytes, Error> {
    if size > rest.len() {
        return Err(Error::Short { expected: size, got: rest.len() });
    }
    Ok(rest.split_to(size))
}

/// The tensor that `bytes` are.
pub(super) fn read(datatype: Datatype, shape: Vec<usize>, bytes: Bytes) -> Result<Tensor, Error> {
    Ok(match datatype {
        Datatype::Bytes => Tensor::from_strings(shape, strings(bytes)?)?,
        _ => Tensor::from_bytes(datatype, shape, bytes)?,
    })
}

/// Bytes of a string's length, in front of it.
const LENGTH: usize = 4;

fn strings(bytes: Bytes) -> Result<Strings, Error> {
    let (mut ends, mut rest) = (Vec::new(), &bytes[..]);
    while !rest.is_empty() {
        let short = |expected, got| Error::Element { index: ends.len(), expected, got };
        let (length, behind) = rest.split_first_chunk().ok_or_else(|| short(LENGTH, rest.len()))?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        rest = behind.get(length..).ok_or_else(|| short(length, behind.len()))?;
        ends.push(bytes.len() - rest.len());
    }
    Ok(Strings::in_place(bytes, ends, LENGTH))
}

/// The tensor of a body that is nothing but its bytes, for a model that has `spec` as its only input.
///
/// One dimension may be of any size, and its size is that which the body's length gives, at least 1; so a body may hold
/// several rows. If two may, and one is the first, that is a batch of 1. A `BYTES` tensor has one element, which is the
/// whole body, without a length in front. This is what Triton does, which takes every first dimension for a batch of 1
/// where the model can be batched; several rows are our addition.
///
/// # Errors
/// Where the length gives no shape.
pub(super) fn raw(spec: &TensorSpec, body: &Bytes) -> Result<Tensor, Error> {
    let datatype = spec.datatype;
    let ambiguous = || Error::Ambiguous { datatype, dims: spec.dims() };
    let Some(size) = datatype.size() else {
        let is_one = spec.shape.iter().all(|dim| dim.is_none_or(|dim| dim == 1));
        let shape = vec![1; spec.shape.len()];
        return if is_one {
            Ok(Tensor::from_strings(shape, Strings::in_place(body.clone(), vec![body.len()], 0))?)
        } else {
            Err(ambiguous())
        };
    };
    let free: Vec<usize> = (0..spec.shape.len()).filter(|at| spec.shape[*at].is_none()).collect();
    let mut shape: Vec<usize> = spec.shape.iter().map(|dim| dim.unwrap_or(1)).collect();
    let computed = match free[..] {
        [] => None,
        [at] | [0, at] => Some(at),
        _ => return Err(ambiguous()),
    };
    if let Some(at) = computed {
        let overflow = || tensor::Error::ShapeOverflow(shape.clone());
        let unit = tensor::elements(&shape).and_then(|count| count.checked_mul(size)).ok_or_else(overflow)?;
        if unit == 0 {
            return Err(ambiguous());
        }
        let got = body.len();
        if got == 0 || !got.is_multiple_of(unit) {
            return Err(Error::Rows { datatype, dims: spec.dims(), unit, got });
        }
        shape[at] = got / unit;
    }
    Ok(Tensor::from_bytes(datatype, shape, body.clone())?)
}

/// The bytes that a tensor is sent as; numbers are not copied.
pub(super) fn print(tensor: &Tensor) -> Bytes {
    match tensor.data() {
        Data::Numbers(bytes) => bytes.clone(),
        Data::Strings(strings) => print_strings(strings.iter()),
        Data::Documents(documents) => {
            let texts: Vec<_> = documents.iter().map(nested::write_document).collect();
            print_strings(texts.iter().map(|text| &text[..]))
        }
    }
}

fn print_strings<'a>(strings: impl Iterator<Item = &'a [u8]> + Clone) -> Bytes {
    let mut bytes = Vec::with_capacity(strings.clone().map(|string| LENGTH + string.len()).sum());
    for string in strings {
        // What the length cannot say is cut: no answer is so long.
        let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&string[..length as usize]);
    }
    bytes.into()
}
