//! Tensors as nested JSON lists, `[[1, 2], [3, 4]]`, both ways.
//!
//! Reading is one pass, bounded by the text: nothing is allocated for what a shape claims. A number must fit its
//! datatype as it stands; there is no wrapping, no rounding of integers, no `"1"` for 1.

mod leaf;
mod write;

use super::{
    SyntaxError,
    cursor::{Cursor, Number},
    spec::TensorSpec,
    tensor::{self, Datatype, Element, Tensor},
};
use crate::excerpt::Excerpt;
use half::{bf16, f16};
use leaf::{Elements, Leaf, Text};
use std::mem;

pub use write::{NotText, write};
pub(super) use write::{write_document, write_flat, write_in};

/// Dimensions that a list may have: more than models use, less than a stack could not bear.
pub(super) const MAX_RANK: usize = 32;

/// What may stand in the lists besides numbers and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The Open Inference Protocol's: `NaN`, `Infinity` and `-Infinity` are numbers where they are read, as clients write
    /// them (tritonclient, perf_analyzer). None is written. What is no text goes as bytes, outside of the JSON.
    OpenInference,
    /// That of `/predict`: `{"b64": "..."}` is a string, whatever its bytes.
    Predict,
    /// TensorFlow Serving's: that, and `NaN`, `Infinity` and `-Infinity` are numbers, read and written.
    TfServing,
}

impl Dialect {
    fn has_base64(self) -> bool {
        matches!(self, Self::Predict | Self::TfServing)
    }

    fn reads_words(self) -> bool {
        matches!(self, Self::OpenInference | Self::TfServing)
    }

    fn writes_words(self) -> bool {
        self == Self::TfServing
    }
}

/// The numbers that JSON has no word for.
pub(super) const WORDS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Why a JSON text is not a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON, ragged, or with an element that is not of the datatype; says where.
    #[error(transparent)]
    Json(#[from] SyntaxError),
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

/// Reads nested lists for the model's input that `spec` is, as `/predict` has them; their nesting is the shape.
///
/// # Errors
/// Where the text is no such list. Whether its shape is the model's is not looked at.
pub fn read(spec: &TensorSpec, json: &str) -> Result<Tensor, Error> {
    whole(spec.datatype, Dialect::Predict, json)?.finish_for(spec)
}

fn whole(datatype: Datatype, dialect: Dialect, json: &str) -> Result<Reader, SyntaxError> {
    let mut cursor = Cursor::new(json);
    let mut reader = Reader::new(datatype, dialect);
    reader.value(&mut cursor)?;
    cursor.end()?;
    Ok(reader)
}

/// Gathers the elements of one tensor, from one value or row by row.
pub(super) struct Reader {
    list: Box<dyn AnyList>,
    dialect: Dialect,
}

impl Reader {
    pub(super) fn new(datatype: Datatype, dialect: Dialect) -> Self {
        Self { list: new_list(datatype), dialect }
    }

    /// Reads all of the tensor.
    pub(super) fn value(&mut self, cursor: &mut Cursor<'_>) -> Result<(), SyntaxError> {
        self.list.value(cursor, 0, self.dialect)
    }

    /// Reads one row more. Rows are as if they stood in a list; how many have come must be said in the end.
    pub(super) fn row(&mut self, cursor: &mut Cursor<'_>) -> Result<(), SyntaxError> {
        self.list.value(cursor, 1, self.dialect)
    }

    /// The tensor of what was read as one value.
    pub(super) fn finish_for(mut self, spec: &TensorSpec) -> Result<Tensor, Error> {
        let nesting = self.list.nesting();
        Ok(self.list.tensor(completed(nesting, spec))?)
    }

    /// The tensor of the rows read.
    pub(super) fn finish_rows_for(mut self, rows: usize, spec: &TensorSpec) -> Result<Tensor, Error> {
        let mut nesting = self.list.nesting();
        match nesting.first_mut() {
            Some(first) => *first = rows,
            None => nesting.push(rows),
        }
        Ok(self.list.tensor(completed(nesting, spec))?)
    }

    /// The tensor of `shape` of what was read as one value.
    pub(super) fn finish_as(mut self, shape: Vec<usize>) -> Result<Tensor, Error> {
        let got = self.list.nesting();
        // Lists that are empty end the nesting early: `[[], []]` is all there is to say of 2 x 0 x 3.
        let ends_early = got.last() == Some(&0) && shape.starts_with(&got);
        if got.len() > 1 && got != shape && !ends_early {
            return Err(Error::Nesting { shape, got });
        }
        Ok(self.list.tensor(shape)?)
    }
}

/// The dimensions that empty lists cannot tell are the model's: `[]` for rows of four is 0 x 4.
fn completed(mut nesting: Vec<usize>, spec: &TensorSpec) -> Vec<usize> {
    if nesting.last() == Some(&0) {
        nesting.extend(spec.shape.iter().skip(nesting.len()).map(|dim| dim.unwrap_or(0)));
    }
    nesting
}

fn new_list(datatype: Datatype) -> Box<dyn AnyList> {
    match datatype {
        Datatype::Bool => List::<bool>::boxed(),
        Datatype::Uint8 => List::<u8>::boxed(),
        Datatype::Uint16 => List::<u16>::boxed(),
        Datatype::Uint32 => List::<u32>::boxed(),
        Datatype::Uint64 => List::<u64>::boxed(),
        Datatype::Int8 => List::<i8>::boxed(),
        Datatype::Int16 => List::<i16>::boxed(),
        Datatype::Int32 => List::<i32>::boxed(),
        Datatype::Int64 => List::<i64>::boxed(),
        Datatype::Fp16 => List::<f16>::boxed(),
        Datatype::Bf16 => List::<bf16>::boxed(),
        Datatype::Fp32 => List::<f32>::boxed(),
        Datatype::Fp64 => List::<f64>::boxed(),
        Datatype::Bytes => List::<Text>::boxed(),
    }
}

/// A [`List`] of any datatype: one call by pointer for a value, however large.
trait AnyList {
    fn value(&mut self, cursor: &mut Cursor<'_>, depth: usize, dialect: Dialect) -> Result<(), SyntaxError>;
    /// The dimensions, once the outermost list has ended.
    fn nesting(&self) -> Vec<usize>;
    /// Takes the elements.
    fn tensor(&mut self, shape: Vec<usize>) -> Result<Tensor, tensor::Error>;
}

/// The elements so far, and what is known of their nesting.
struct List<T: Leaf> {
    elements: T::Elements,
    /// Length of the lists at each depth, once one of them has ended.
    dims: Vec<Option<usize>>,
    /// How deep the elements are.
    rank: Option<usize>,
}

impl<T: Leaf> List<T>
where
    Self: AnyList,
{
    fn boxed() -> Box<dyn AnyList> {
        Box::new(Self { elements: T::Elements::default(), dims: Vec::new(), rank: None })
    }
}

impl<T: Element + Leaf<Elements = Vec<T>>> AnyList for List<T> {
    fn value(&mut self, cursor: &mut Cursor<'_>, depth: usize, dialect: Dialect) -> Result<(), SyntaxError> {
        self.read(cursor, depth, dialect)
    }

    fn nesting(&self) -> Vec<usize> {
        self.nesting()
    }

    fn tensor(&mut self, shape: Vec<usize>) -> Result<Tensor, tensor::Error> {
        Tensor::from_numbers(shape, mem::take(&mut self.elements))
    }
}

impl AnyList for List<Text> {
    fn value(&mut self, cursor: &mut Cursor<'_>, depth: usize, dialect: Dialect) -> Result<(), SyntaxError> {
        self.read(cursor, depth, dialect)
    }

    fn nesting(&self) -> Vec<usize> {
        self.nesting()
    }

    fn tensor(&mut self, shape: Vec<usize>) -> Result<Tensor, tensor::Error> {
        Tensor::from_strings(shape, mem::take(&mut self.elements).into())
    }
}

impl<T: Leaf> List<T> {
    fn nesting(&self) -> Vec<usize> {
        // Of rows, the list that they stand in has no end that was read.
        self.dims.iter().map(|dim| dim.unwrap_or(0)).collect()
    }

    /// Reads what stands at `depth`: an element or a list.
    #[inline]
    fn read(&mut self, cursor: &mut Cursor<'_>, depth: usize, dialect: Dialect) -> Result<(), SyntaxError> {
        if cursor.peek() == Some(b'[') {
            return self.list(cursor, depth, dialect);
        }
        let before = *cursor;
        let element = match cursor.number() {
            Some(number) => of_number(cursor, &number)?,
            None => other_element(cursor, dialect)?,
        };
        self.push(before, depth, element)
    }

    fn push(&mut self, place: Cursor<'_>, depth: usize, element: T) -> Result<(), SyntaxError> {
        if self.rank != Some(depth) {
            if self.rank.is_some() || depth < self.dims.len() {
                return Err(place.error("an element stands beside a list"));
            }
            self.rank = Some(depth);
        }
        self.elements.push(element);
        Ok(())
    }

    fn list(&mut self, cursor: &mut Cursor<'_>, depth: usize, dialect: Dialect) -> Result<(), SyntaxError> {
        if depth == MAX_RANK {
            return Err(cursor.error(format_args!("lists are nested more than {MAX_RANK} deep")));
        }
        if self.rank.is_some_and(|rank| rank <= depth) {
            return Err(cursor.error("an element stands beside a list"));
        }
        while self.dims.len() <= depth {
            self.dims.push(None);
        }
        cursor.take(b'[');
        let (mut length, mut first) = (0, true);
        while cursor.another(&mut first, b']')? {
            // Nearly all items are numbers, among numbers.
            match cursor.number() {
                Some(number) if self.rank == Some(depth + 1) => {
                    self.elements.push(of_number(cursor, &number)?);
                }
                Some(number) => self.push(*cursor, depth + 1, of_number(cursor, &number)?)?,
                None => self.read(cursor, depth + 1, dialect)?,
            }
            length += 1;
        }
        match self.dims[depth].replace(length) {
            Some(before) if before != length => Err(cursor
                .error(format_args!("the lists are ragged: lengths {before} and {length} side by side"))),
            _ => Ok(()),
        }
    }
}

#[inline]
fn of_number<T: Leaf>(cursor: &Cursor<'_>, number: &Number<'_>) -> Result<T, SyntaxError> {
    T::from_number(number).ok_or_else(|| no_element::<T>(cursor, number.text()))
}

/// An element that is no number as JSON writes them.
fn other_element<T: Leaf>(cursor: &mut Cursor<'_>, dialect: Dialect) -> Result<T, SyntaxError> {
    let (what, element) = match cursor.peek() {
        Some(b'"') => ("a string", T::from_string(&cursor.string()?)),
        Some(b'{') if dialect.has_base64() => ("a string", T::from_bytes(base64(cursor)?)),
        Some(b'{') => ("an object", None),
        Some(b'[') => ("a list", None),
        _ if cursor.take_word("true") => ("true", T::from_bool(true)),
        _ if cursor.take_word("false") => ("false", T::from_bool(false)),
        _ if cursor.take_word("null") => ("null", None),
        _ if dialect.reads_words() => match WORDS.into_iter().find(|word| cursor.take_word(word)) {
            Some(word) => (word, T::from_word(word)),
            None => return Err(cursor.no_value()),
        },
        _ => return Err(cursor.no_value()),
    };
    element.ok_or_else(|| no_element::<T>(cursor, what))
}

#[cold]
fn no_element<T: Leaf>(cursor: &Cursor<'_>, got: &str) -> SyntaxError {
    cursor.error(format_args!("{} is not a value of {}", Excerpt::of(got, 40), T::EXPECTED))
}

/// Takes `{"b64": "..."}`.
fn base64(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, SyntaxError> {
    let before = *cursor;
    let (mut first, mut bytes) = (cursor.take(b'{'), None);
    while cursor.another(&mut first, b'}')? {
        if cursor.key()? != "b64" || bytes.is_some() {
            return Err(before.error("expected a value or {\"b64\": \"...\"}"));
        }
        let text = cursor.string()?;
        bytes = Some(leaf::from_base64(&text).map_err(|error| before.error(format_args!("b64: {error}")))?);
    }
    bytes.ok_or_else(|| before.error("expected a value or {\"b64\": \"...\"}"))
}

#[cfg(test)]
#[path = "nested_tests.rs"]
mod tests;
