//! Tensors as nested JSON lists, `[[1, 2], [3, 4]]`, both ways.
//!
//! Reading is one pass, bounded by the text: nothing is allocated for what a shape claims. A number must fit its
//! datatype as it stands; there is no wrapping, no rounding of integers, no `"1"` for 1.

use super::tensor::{self, Data, Datatype, Element, Tensor};
use bytemuck::AnyBitPattern;
use bytes::Bytes;
use half::{bf16, f16};
use serde::{
    Serialize,
    de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor},
};
use std::fmt;

/// Dimensions that a list may have: more than models use, less than a stack could not bear.
const MAX_RANK: usize = 32;

/// Why a JSON text is not a tensor.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, ragged, or with an element that is not of the datatype; says where.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Nested otherwise than the shape says.
    #[error("the data is nested as {got:?}, the shape is {shape:?}")]
    Nesting {
        /// What the request says.
        shape: Vec<usize>,
        /// What its data is.
        got: Vec<usize>,
    },
    /// Not as many elements as the shape says.
    #[error(transparent)]
    Shape(#[from] tensor::Error),
}

/// Reads nested lists of `datatype`; their nesting is the shape.
///
/// # Errors
/// Where the text is no such list.
pub fn read(datatype: Datatype, json: &str) -> Result<Tensor, Error> {
    parse(datatype, json, None)
}

/// Reads a list of `datatype` for a tensor of `shape`, nested or flat: the protocol allows both.
///
/// # Errors
/// Where the text is no such list, or does not fit `shape`.
pub fn read_shaped(datatype: Datatype, json: &str, shape: Vec<usize>) -> Result<Tensor, Error> {
    parse(datatype, json, Some(shape))
}

fn parse(datatype: Datatype, json: &str, shape: Option<Vec<usize>>) -> Result<Tensor, Error> {
    match datatype {
        Datatype::Bool => numbers::<bool>(json, shape),
        Datatype::Uint8 => numbers::<u8>(json, shape),
        Datatype::Uint16 => numbers::<u16>(json, shape),
        Datatype::Uint32 => numbers::<u32>(json, shape),
        Datatype::Uint64 => numbers::<u64>(json, shape),
        Datatype::Int8 => numbers::<i8>(json, shape),
        Datatype::Int16 => numbers::<i16>(json, shape),
        Datatype::Int32 => numbers::<i32>(json, shape),
        Datatype::Int64 => numbers::<i64>(json, shape),
        Datatype::Fp16 => numbers::<f16>(json, shape),
        Datatype::Bf16 => numbers::<bf16>(json, shape),
        Datatype::Fp32 => numbers::<f32>(json, shape),
        Datatype::Fp64 => numbers::<f64>(json, shape),
        Datatype::Bytes => {
            let (shape, strings) = list::<Bytes>(json, shape)?;
            Ok(Tensor::from_strings(shape, strings)?)
        }
    }
}

fn numbers<T: Element + Leaf>(json: &str, shape: Option<Vec<usize>>) -> Result<Tensor, Error> {
    let (shape, numbers) = list::<T>(json, shape)?;
    Ok(Tensor::from_numbers(shape, numbers)?)
}

fn list<T: Leaf>(json: &str, shape: Option<Vec<usize>>) -> Result<(Vec<usize>, Vec<T>), Error> {
    let mut list = List { elements: Vec::new(), dims: Vec::new(), rank: None };
    let mut json = serde_json::Deserializer::from_str(json);
    Level { list: &mut list, depth: 0 }.deserialize(&mut json)?;
    json.end()?;
    let got: Vec<usize> = list.dims.into_iter().map(|dim| dim.expect("the outer lists have ended")).collect();
    match shape {
        Some(shape) if got.len() > 1 && got != shape => Err(Error::Nesting { shape, got }),
        Some(shape) => Ok((shape, list.elements)),
        None => Ok((got, list.elements)),
    }
}

/// The elements so far, and what is known of their nesting.
struct List<T> {
    elements: Vec<T>,
    /// Length of the lists at each depth, once one of them has ended.
    dims: Vec<Option<usize>>,
    /// How deep the elements are.
    rank: Option<usize>,
}

/// Reads what stands at one depth: an element or a list.
struct Level<'a, T> {
    list: &'a mut List<T>,
    depth: usize,
}

impl<T: Leaf> Level<'_, T> {
    fn push<E: de::Error>(self, element: Option<T>, got: impl fmt::Display) -> Result<(), E> {
        let element =
            element.ok_or_else(|| E::custom(format_args!("{got} is not a value of {}", T::EXPECTED)))?;
        if self.depth < self.list.dims.len() || self.list.rank.is_some_and(|rank| rank != self.depth) {
            return Err(E::custom("an element stands beside a list"));
        }
        self.list.rank = Some(self.depth);
        self.list.elements.push(element);
        Ok(())
    }
}

impl<'de, T: Leaf> DeserializeSeed<'de> for Level<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: Leaf> Visitor<'de> for Level<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {} or a list", T::EXPECTED)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.push(T::from_bool(value), value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.push(T::from_u64(value), value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.push(T::from_i64(value), value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.push(T::from_f64(value), format_args!("{value:?}"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.push(T::from_str(value), "a string")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { list, depth } = self;
        if depth == MAX_RANK {
            return Err(de::Error::custom(format_args!("lists are nested more than {MAX_RANK} deep")));
        }
        if list.rank.is_some_and(|rank| rank <= depth) {
            return Err(de::Error::custom("an element stands beside a list"));
        }
        if depth == list.dims.len() {
            list.dims.push(None);
        }
        let mut length = 0;
        while items.next_element_seed(Level { list, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        match list.dims[depth].replace(length) {
            Some(before) if before != length => Err(de::Error::custom(format_args!(
                "the lists are ragged: lengths {before} and {length} side by side"
            ))),
            _ => Ok(()),
        }
    }
}

/// An element as JSON can say it; `None` where the value does not fit.
trait Leaf: Sized {
    const EXPECTED: &'static str;

    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_u64(_: u64) -> Option<Self> {
        None
    }
    fn from_i64(_: i64) -> Option<Self> {
        None
    }
    fn from_f64(_: f64) -> Option<Self> {
        None
    }
    fn from_str(_: &str) -> Option<Self> {
        None
    }
}

macro_rules! integer_leaves {
    ($($rust:ty),*) => { $(impl Leaf for $rust {
        const EXPECTED: &'static str = <$rust as Element>::DATATYPE.name();
        fn from_u64(value: u64) -> Option<Self> {
            value.try_into().ok()
        }
        fn from_i64(value: i64) -> Option<Self> {
            value.try_into().ok()
        }
    })* };
}

integer_leaves!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! float_leaves {
    ($($rust:ty: $narrow:expr),*) => { $(impl Leaf for $rust {
        const EXPECTED: &'static str = <$rust as Element>::DATATYPE.name();
        fn from_u64(value: u64) -> Option<Self> {
            <Self as Leaf>::from_f64(value as f64)
        }
        fn from_i64(value: i64) -> Option<Self> {
            <Self as Leaf>::from_f64(value as f64)
        }
        fn from_f64(value: f64) -> Option<Self> {
            Some($narrow(value)).filter(|narrow| narrow.is_finite())
        }
    })* };
}

float_leaves!(f16: f16::from_f64, bf16: bf16::from_f64, f32: |value| value as f32, f64: |value| value);

impl Leaf for bool {
    const EXPECTED: &'static str = Datatype::Bool.name();
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl Leaf for Bytes {
    const EXPECTED: &'static str = "BYTES";
    fn from_str(value: &str) -> Option<Self> {
        Some(Self::copy_from_slice(value.as_bytes()))
    }
}

/// Appends `tensor` as nested lists, or as a bare element where it has no dimensions. What is not finite becomes
/// `null`, since JSON has no word for it; in strings that are not UTF-8 the bad bytes are replaced.
pub fn write(tensor: &Tensor, output: &mut Vec<u8>) {
    write_as(tensor, tensor.shape(), output);
}

/// Appends `tensor` as one flat list.
pub fn write_flat(tensor: &Tensor, output: &mut Vec<u8>) {
    write_as(tensor, &[tensor.elements()], output);
}

fn write_as(tensor: &Tensor, dims: &[usize], output: &mut Vec<u8>) {
    let bytes = match tensor.data() {
        Data::Strings(strings) => {
            return write_lists(
                &mut strings.iter().map(|string| String::from_utf8_lossy(string)),
                dims,
                output,
            );
        }
        Data::Numbers(bytes) => bytes,
    };
    match tensor.datatype() {
        Datatype::Bool => write_numbers(bytes, dims, output, |byte: u8| byte != 0),
        // Strings have no such bytes; were there any, they would print as they are.
        Datatype::Uint8 | Datatype::Bytes => write_numbers(bytes, dims, output, |number: u8| number),
        Datatype::Uint16 => write_numbers(bytes, dims, output, |number: u16| number),
        Datatype::Uint32 => write_numbers(bytes, dims, output, |number: u32| number),
        Datatype::Uint64 => write_numbers(bytes, dims, output, |number: u64| number),
        Datatype::Int8 => write_numbers(bytes, dims, output, |number: i8| number),
        Datatype::Int16 => write_numbers(bytes, dims, output, |number: i16| number),
        Datatype::Int32 => write_numbers(bytes, dims, output, |number: i32| number),
        Datatype::Int64 => write_numbers(bytes, dims, output, |number: i64| number),
        Datatype::Fp16 => write_numbers(bytes, dims, output, f16::to_f32),
        Datatype::Bf16 => write_numbers(bytes, dims, output, bf16::to_f32),
        Datatype::Fp32 => write_numbers(bytes, dims, output, |number: f32| number),
        Datatype::Fp64 => write_numbers(bytes, dims, output, |number: f64| number),
    }
}

fn write_numbers<T: AnyBitPattern, J: Serialize>(
    bytes: &[u8],
    dims: &[usize],
    output: &mut Vec<u8>,
    json: impl Fn(T) -> J,
) {
    let pieces = bytes.chunks_exact(size_of::<T>());
    write_lists(&mut pieces.map(|piece| json(bytemuck::pod_read_unaligned(piece))), dims, output);
}

fn write_lists<J: Serialize>(elements: &mut impl Iterator<Item = J>, dims: &[usize], output: &mut Vec<u8>) {
    let Some((&length, inner)) = dims.split_first() else {
        if let Some(element) = elements.next() {
            serde_json::to_writer(output, &element)
                .expect("a Vec takes every byte, and an element is valid JSON");
        }
        return;
    };
    output.push(b'[');
    for at in 0..length {
        if at > 0 {
            output.push(b',');
        }
        write_lists(elements, inner, output);
    }
    output.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(datatype: Datatype, json: &str, shape: &[usize], printed: &str) {
        let tensor = read(datatype, json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(tensor.shape(), shape, "{json}");
        assert_eq!(tensor.datatype(), datatype, "{json}");
        let mut output = Vec::new();
        write(&tensor, &mut output);
        assert_eq!(String::from_utf8(output).unwrap(), printed, "{json}");
    }

    #[test]
    fn the_nesting_is_the_shape() {
        check(Datatype::Fp32, "[[1, 2.5], [-3e0, 0.1]]", &[2, 2], "[[1.0,2.5],[-3.0,0.1]]");
        check(Datatype::Int64, "[ -9223372036854775808 ]", &[1], "[-9223372036854775808]");
        check(Datatype::Uint64, "18446744073709551615", &[], "18446744073709551615");
        check(Datatype::Bool, "[[true],[false]]", &[2, 1], "[[true],[false]]");
        check(Datatype::Fp16, "[0.5, 65504]", &[2], "[0.5,65504.0]");
        check(Datatype::Bf16, "[0.5]", &[1], "[0.5]");
        check(Datatype::Fp64, "[1e308]", &[1], "[1e+308]");
        check(Datatype::Bytes, r#"["a\n","\u00e9"]"#, &[2], "[\"a\\n\",\"é\"]");
        check(Datatype::Uint8, "[[[0],[255]]]", &[1, 2, 1], "[[[0],[255]]]");
        check(Datatype::Fp32, "[]", &[0], "[]");
        check(Datatype::Fp32, "[[],[]]", &[2, 0], "[[],[]]");
    }

    #[test]
    fn a_number_is_read_to_its_last_bit() {
        let tensor = read(Datatype::Fp64, "[123456789.12345679]").unwrap();
        assert_eq!(tensor.numbers(), Some(&[123_456_789.123_456_79_f64][..]));
    }

    fn refuse(datatype: Datatype, json: &str, says: &str) {
        let error = read(datatype, json).expect_err(json).to_string();
        assert!(error.contains(says), "{json}: {error}");
    }

    #[test]
    fn what_is_no_tensor_is_refused_with_the_place() {
        refuse(Datatype::Fp32, "[[1,2],[3]]", "ragged: lengths 2 and 1 side by side at line 1");
        refuse(Datatype::Fp32, "[1,[2]]", "an element stands beside a list");
        refuse(Datatype::Fp32, "[[1],2]", "an element stands beside a list");
        refuse(Datatype::Fp32, "[[],2]", "an element stands beside a list");
        refuse(Datatype::Fp32, "[[[]],[2]]", "an element stands beside a list");
        refuse(Datatype::Fp32, "[1e39]", "1e39 is not a value of FP32");
        refuse(Datatype::Fp16, "[65520]", "65520 is not a value of FP16");
        refuse(Datatype::Uint8, "[256]", "256 is not a value of UINT8");
        refuse(Datatype::Uint8, "[-1]", "-1 is not a value of UINT8");
        refuse(Datatype::Int32, "[1.0]", "1.0 is not a value of INT32");
        refuse(Datatype::Int32, r#"["1"]"#, "a string is not a value of INT32");
        refuse(Datatype::Bool, "[1]", "1 is not a value of BOOL");
        refuse(Datatype::Bytes, "[1]", "1 is not a value of BYTES");
        refuse(Datatype::Fp32, "[null]", "null");
        refuse(Datatype::Fp32, r#"{"a":1}"#, "map");
        refuse(Datatype::Fp32, "[1,]", "trailing comma");
        refuse(Datatype::Fp32, "[1] [2]", "trailing characters");
        refuse(Datatype::Fp32, "[NaN]", "expected value");
        refuse(Datatype::Fp32, &"[".repeat(100_000), "nested more than 32 deep");
    }

    #[test]
    fn data_for_a_shape_is_flat_or_nested_as_the_shape_says() {
        let read = |json, shape: &[usize]| read_shaped(Datatype::Int32, json, shape.to_vec());
        assert_eq!(read("[1,2,3,4]", &[2, 2]).unwrap(), read("[[1,2],[3,4]]", &[2, 2]).unwrap());
        assert_eq!(read("[7]", &[]).unwrap().shape(), &[] as &[usize]);
        assert_eq!(
            read("[[1,2],[3,4]]", &[4]).unwrap_err().to_string(),
            "the data is nested as [2, 2], the shape is [4]"
        );
        assert_eq!(read("[1,2,3]", &[2, 2]).unwrap_err().to_string(), "shape [2, 2] needs 4 elements, got 3");
        let huge = read("[1]", &[usize::MAX, usize::MAX]).unwrap_err().to_string();
        assert!(huge.contains("too many elements"), "{huge}");
    }

    #[test]
    fn what_is_not_finite_prints_as_null() {
        let tensor = Tensor::from_numbers(vec![3], vec![f32::NAN, f32::INFINITY, 1.0]).unwrap();
        let mut output = Vec::new();
        write_flat(&tensor, &mut output);
        assert_eq!(output, b"[null,null,1.0]");
    }
}
