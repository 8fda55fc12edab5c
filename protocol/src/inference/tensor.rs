//! Datatypes, shapes and tensors as the Open Inference Protocol names them.
//!
//! A tensor's bytes always fit its datatype and shape: there is no other way to make one.

use super::{document::Document, strings::Strings};
use bytemuck::allocation::pod_collect_to_vec;
use bytes::Bytes;
use half::{bf16, f16};
use std::{borrow::Cow, fmt, ops::Range};

/// The datatypes of the Open Inference Protocol, and Triton's `BF16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Datatype {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    Uint8,
    /// Unsigned, 16 bits.
    Uint16,
    /// Unsigned, 32 bits.
    Uint32,
    /// Unsigned, 64 bits.
    Uint64,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// IEEE 754 half precision.
    Fp16,
    /// The upper half of a single-precision number.
    Bf16,
    /// IEEE 754 single precision.
    Fp32,
    /// IEEE 754 double precision.
    Fp64,
    /// Strings of any length.
    Bytes,
}

impl Datatype {
    /// All of them, with their names in the protocol.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Bool, "BOOL"),
        (Self::Uint8, "UINT8"),
        (Self::Uint16, "UINT16"),
        (Self::Uint32, "UINT32"),
        (Self::Uint64, "UINT64"),
        (Self::Int8, "INT8"),
        (Self::Int16, "INT16"),
        (Self::Int32, "INT32"),
        (Self::Int64, "INT64"),
        (Self::Fp16, "FP16"),
        (Self::Bf16, "BF16"),
        (Self::Fp32, "FP32"),
        (Self::Fp64, "FP64"),
        (Self::Bytes, "BYTES"),
    ];

    /// The name in the protocol, `FP32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The datatype of that name, in capitals as the protocol writes it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(datatype, _)| *datatype)
    }

    /// Bytes of one element; `None` for strings, which have each their own.
    #[must_use]
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// Whether the elements are floating-point numbers.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64)
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Lists that a tensor of no elements may have, all empty: to print them takes time and memory, which nothing else bounds.
const EMPTY_LISTS: usize = 1 << 24;

/// The number of elements of a shape, or `None` where that, or the product of the dimensions that are not 0, is more than
/// there could be.
#[must_use]
pub fn elements(shape: &[usize]) -> Option<usize> {
    let product = |dims: &[usize]| {
        let mut dims = dims.iter().filter(|dim| **dim > 0);
        dims.try_fold(1usize, |product, dim| product.checked_mul(*dim))
            .filter(|product| isize::try_from(*product).is_ok())
    };
    let all = product(shape)?;
    match shape.iter().position(|dim| *dim == 0) {
        None => Some(all),
        Some(zero) => (product(&shape[..zero])? <= EMPTY_LISTS).then_some(0),
    }
}

/// Why bytes and a shape do not make a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The product of the dimensions, zeros left out, is over what a machine can address.
    #[error("shape {0:?} has too many elements")]
    ShapeOverflow(Vec<usize>),
    /// The data is of another length than the shape says.
    #[error("shape {shape:?} needs {expected} {unit}, got {got}")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// What it needs.
        expected: usize,
        /// What was there.
        got: usize,
        /// Of what: elements, or bytes of a datatype.
        unit: String,
    },
    /// A BOOL is 0 or 1.
    #[error("a BOOL element is {0}, not 0 or 1")]
    NotBool(u8),
}

/// An n-dimensional array in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    datatype: Datatype,
    shape: Vec<usize>,
    data: Data,
}

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Elements of a fixed size, little-endian (the only byte order we run on).
    Numbers(Bytes),
    /// `BYTES` elements.
    Strings(Strings),
    /// `BYTES` elements that are JSON documents, not printed yet: what a model gives that is no tensor.
    Documents(Vec<Document>),
}

/// A number type that a tensor holds.
pub trait Element: bytemuck::NoUninit + Send + Sync + 'static {
    /// Its name in the protocol.
    const DATATYPE: Datatype;
}

macro_rules! elements {
    ($($rust:ty => $datatype:ident,)*) => { $(impl Element for $rust { const DATATYPE: Datatype = Datatype::$datatype; })* };
}

elements! {
    bool => Bool, u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64, i8 => Int8, i16 => Int16, i32 => Int32,
    i64 => Int64, f16 => Fp16, bf16 => Bf16, f32 => Fp32, f64 => Fp64,
}

/// Lets a vector of numbers be shared as bytes without copying it.
struct AsBytes<T>(Vec<T>);

impl<T: Element> AsRef<[u8]> for AsBytes<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl Tensor {
    /// A tensor over little-endian bytes as they came from the wire, not copied.
    ///
    /// # Errors
    /// Where the bytes are not as many as the shape says, or a BOOL is neither 0 nor 1.
    pub fn from_bytes(datatype: Datatype, shape: Vec<usize>, bytes: Bytes) -> Result<Self, Error> {
        let count = elements(&shape).ok_or_else(|| Error::ShapeOverflow(shape.clone()))?;
        let size = datatype.size().unwrap_or(usize::MAX);
        let expected = count.checked_mul(size).ok_or_else(|| Error::ShapeOverflow(shape.clone()))?;
        if bytes.len() != expected {
            return Err(Error::Length {
                shape,
                expected,
                got: bytes.len(),
                unit: format!("bytes of {datatype}"),
            });
        }
        // First all at once, which is many at a time.
        if datatype == Datatype::Bool
            && bytes.iter().fold(0, |all, byte| all | byte) > 1
            && let Some(&other) = bytes.iter().find(|byte| **byte > 1)
        {
            return Err(Error::NotBool(other));
        }
        Ok(Self { datatype, shape, data: Data::Numbers(bytes) })
    }

    /// A tensor of numbers, not copied.
    ///
    /// # Errors
    /// Where there are not as many numbers as the shape says.
    pub fn from_numbers<T: Element>(shape: Vec<usize>, numbers: Vec<T>) -> Result<Self, Error> {
        check_count(&shape, numbers.len())?;
        Ok(Self { datatype: T::DATATYPE, shape, data: Data::Numbers(Bytes::from_owner(AsBytes(numbers))) })
    }

    /// A tensor of strings.
    ///
    /// # Errors
    /// Where there are not as many strings as the shape says.
    pub fn from_strings(shape: Vec<usize>, strings: Strings) -> Result<Self, Error> {
        check_count(&shape, strings.len())?;
        Ok(Self { datatype: Datatype::Bytes, shape, data: Data::Strings(strings) })
    }

    /// A tensor of JSON documents.
    ///
    /// # Errors
    /// Where there are not as many documents as the shape says.
    pub fn from_documents(shape: Vec<usize>, documents: Vec<Document>) -> Result<Self, Error> {
        check_count(&shape, documents.len())?;
        Ok(Self { datatype: Datatype::Bytes, shape, data: Data::Documents(documents) })
    }

    /// What the elements are.
    #[must_use]
    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// The dimensions, outermost first; none for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// How many elements there are.
    #[must_use]
    pub fn elements(&self) -> usize {
        elements(&self.shape).expect("checked when the tensor was made")
    }

    /// The part at `index` of the first dimension, without that dimension and not copied; `None` where there is none.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<Self> {
        let mut row = self.rows(index..index.checked_add(1)?)?;
        row.shape.remove(0);
        Some(row)
    }

    /// Some parts of the first dimension, not copied; `None` where they are not all there.
    #[must_use]
    pub fn rows(&self, range: Range<usize>) -> Option<Self> {
        let (&rows, inner) = self.shape.split_first()?;
        if range.start > range.end || range.end > rows {
            return None;
        }
        let part = |length: usize| {
            let row = length.checked_div(rows).unwrap_or(0);
            range.start * row..range.end * row
        };
        let data = match &self.data {
            Data::Numbers(bytes) => Data::Numbers(bytes.slice(part(bytes.len()))),
            Data::Strings(strings) => Data::Strings(strings.part(part(strings.len()))),
            Data::Documents(documents) => Data::Documents(documents[part(documents.len())].to_vec()),
        };
        let shape = [&[range.len()], inner].concat();
        Some(Self { datatype: self.datatype, shape, data })
    }

    /// The tensor with its numbers at addresses that fit them: itself where they lie so, else a copy.
    #[must_use]
    pub fn aligned(&self) -> Cow<'_, Self> {
        let (Data::Numbers(bytes), Some(size)) = (&self.data, self.datatype.size()) else {
            return Cow::Borrowed(self);
        };
        if bytes.as_ptr().addr().is_multiple_of(size) {
            return Cow::Borrowed(self);
        }
        let bytes = match size {
            2 => Bytes::from_owner(AsBytes(pod_collect_to_vec::<u8, u16>(bytes))),
            4 => Bytes::from_owner(AsBytes(pod_collect_to_vec::<u8, u32>(bytes))),
            _ => Bytes::from_owner(AsBytes(pod_collect_to_vec::<u8, u64>(bytes))),
        };
        Cow::Owned(Self { datatype: self.datatype, shape: self.shape.clone(), data: Data::Numbers(bytes) })
    }

    /// The elements as numbers of `T`, or `None` where the tensor is of another datatype or its bytes are not aligned
    /// (they may lie anywhere in a request's body).
    #[must_use]
    pub fn numbers<T: Element + bytemuck::CheckedBitPattern>(&self) -> Option<&[T]> {
        match &self.data {
            Data::Numbers(bytes) if self.datatype == T::DATATYPE => {
                bytemuck::checked::try_cast_slice(bytes).ok()
            }
            _ => None,
        }
    }

    /// The elements as `f32` where they are floating-point numbers: what scores and probabilities are read as.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a score needs no more than an f32")]
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let Data::Numbers(bytes) = &self.data else { return None };
        let pieces = |size| bytes.chunks_exact(size);
        Some(match self.datatype {
            Datatype::Fp16 => pieces(2).map(|piece| f16::from_le_bytes(array(piece)).to_f32()).collect(),
            Datatype::Bf16 => pieces(2).map(|piece| bf16::from_le_bytes(array(piece)).to_f32()).collect(),
            Datatype::Fp32 => pieces(4).map(|piece| f32::from_le_bytes(array(piece))).collect(),
            Datatype::Fp64 => pieces(8).map(|piece| f64::from_le_bytes(array(piece)) as f32).collect(),
            _ => return None,
        })
    }
}

fn array<const N: usize>(piece: &[u8]) -> [u8; N] {
    piece.try_into().expect("chunks_exact gives pieces of that size")
}

fn check_count(shape: &[usize], got: usize) -> Result<(), Error> {
    let expected = elements(shape).ok_or_else(|| Error::ShapeOverflow(shape.to_vec()))?;
    if got == expected {
        Ok(())
    } else {
        Err(Error::Length { shape: shape.to_vec(), expected, got, unit: "elements".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_datatypes_go_both_ways() {
        for (datatype, name) in Datatype::ALL {
            assert_eq!(Datatype::from_name(name), Some(datatype));
            assert_eq!(datatype.name(), name);
        }
        assert_eq!(Datatype::from_name("fp32"), None);
    }

    #[test]
    fn a_shape_that_overflows_is_refused_and_an_empty_one_is_not() {
        for (shape, count) in [
            (&[][..], Some(1)),
            (&[2, 3], Some(6)),
            (&[0, 4, 1 << 40], Some(0)),
            (&[1 << 24, 0], Some(0)),
            (&[usize::MAX, 2], None),
            (&[usize::MAX], None),
            (&[0, usize::MAX, 2], None),
            (&[(1 << 24) + 1, 0], None),
        ] {
            assert_eq!(elements(shape), count, "{shape:?}");
        }
        let huge = vec![1 << 62, 4];
        assert_eq!(
            Tensor::from_bytes(Datatype::Fp32, huge.clone(), Bytes::new()),
            Err(Error::ShapeOverflow(huge))
        );
        // The count fits, the bytes do not.
        let wide = vec![1 << 62];
        assert_eq!(
            Tensor::from_bytes(Datatype::Fp64, wide.clone(), Bytes::new()),
            Err(Error::ShapeOverflow(wide))
        );
    }

    #[test]
    fn bytes_that_do_not_fit_the_shape_are_no_tensor() {
        let error = Tensor::from_bytes(Datatype::Fp32, vec![2, 2], Bytes::from_static(&[0; 15])).unwrap_err();
        assert_eq!(error.to_string(), "shape [2, 2] needs 16 bytes of FP32, got 15");
        let error = Tensor::from_numbers(vec![3], vec![1i64]).unwrap_err();
        assert_eq!(error.to_string(), "shape [3] needs 3 elements, got 1");
        let error = Tensor::from_bytes(Datatype::Bool, vec![2], Bytes::from_static(&[1, 2])).unwrap_err();
        assert_eq!(error, Error::NotBool(2));
        assert!(Tensor::from_bytes(Datatype::Bytes, vec![1], Bytes::from_static(b"x")).is_err());
    }

    #[test]
    fn a_row_is_a_part_of_the_first_dimension() {
        let tensor = Tensor::from_numbers(vec![2, 3], vec![1i16, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(tensor.row(1), Some(Tensor::from_numbers(vec![3], vec![4i16, 5, 6]).unwrap()));
        assert_eq!(tensor.row(2), None);
        assert_eq!(tensor.row(0).unwrap().row(2), Some(Tensor::from_numbers(vec![], vec![3i16]).unwrap()));
        let strings = Tensor::from_strings(vec![2], ["a", "b"].into_iter().collect()).unwrap();
        assert_eq!(strings.row(1), Some(Tensor::from_strings(vec![], ["b"].into_iter().collect()).unwrap()));
        let documents = Tensor::from_documents(
            vec![2],
            [&tensor, &strings].map(|each| Document::Tensor(each.clone())).into(),
        );
        let last = documents.unwrap().row(1).unwrap();
        assert_eq!(last, Tensor::from_documents(vec![], vec![Document::Tensor(strings)]).unwrap());
    }

    #[test]
    fn rows_are_parts_of_the_first_dimension() {
        let tensor = Tensor::from_numbers(vec![3, 2], vec![1u8, 2, 3, 4, 5, 6]).unwrap();
        let part = |range| {
            tensor.rows(range).map(|part| (part.shape().to_vec(), part.numbers::<u8>().unwrap().to_vec()))
        };
        assert_eq!(part(1..3), Some((vec![2, 2], vec![3, 4, 5, 6])));
        assert_eq!(part(3..3), Some((vec![0, 2], vec![])));
        assert_eq!((part(2..4), part(4..4)), (None, None));
        assert_eq!(tensor.row(usize::MAX), None);
        assert_eq!(tensor.row(0).unwrap().row(0).unwrap().rows(0..0), None, "a scalar has none");
        // Nothing to divide by.
        for (shape, rows) in [(vec![0, 2], 0..0), (vec![3, 0], 1..3), (vec![0], 0..0)] {
            let empty = Tensor::from_bytes(Datatype::Fp64, shape, Bytes::new()).unwrap();
            assert_eq!(empty.rows(rows.clone()).unwrap().shape()[0], rows.len());
        }
    }

    #[test]
    fn numbers_are_copied_where_they_lie_badly_and_only_there() {
        let bytes = Bytes::from_owner(AsBytes(vec![0x0102_0304_0506_0708u64; 3]));
        for datatype in [Datatype::Int8, Datatype::Fp16, Datatype::Fp32, Datatype::Int64] {
            let size = datatype.size().unwrap();
            for offset in 0..8 {
                let part = bytes.slice(offset..offset + 2 * size);
                let tensor = Tensor::from_bytes(datatype, vec![2], part.clone()).unwrap();
                let aligned = tensor.aligned();
                let Data::Numbers(there) = aligned.data() else { panic!() };
                assert_eq!(*aligned, tensor);
                assert!(there.as_ptr().addr().is_multiple_of(size));
                assert_eq!(
                    there.as_ptr() == part.as_ptr(),
                    offset.is_multiple_of(size),
                    "{datatype} at {offset}"
                );
            }
        }
    }

    #[test]
    fn numbers_are_shared_not_copied() {
        let tensor = Tensor::from_numbers(vec![2], vec![1.5f32, -2.0]).unwrap();
        assert_eq!(tensor.numbers::<f32>(), Some(&[1.5, -2.0][..]));
        assert_eq!(tensor.numbers::<i32>(), None);
        assert_eq!(tensor.to_f32(), Some(vec![1.5, -2.0]));
        let bytes = Bytes::from_static(&[0, 0x3e, 0, 0xc0]);
        let half = Tensor::from_bytes(Datatype::Fp16, vec![2], bytes).unwrap();
        assert_eq!(half.to_f32(), Some(vec![1.5, -2.0]));
    }
}
