//! An element of a tensor from how JSON says it, rounded once and to the nearest.

use crate::inference::{
    cursor::Number,
    strings::Gathered,
    tensor::{Datatype, Element},
};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use half::{bf16, f16};

/// An element as JSON can say it; `None` where the value does not fit.
pub(super) trait Leaf: Sized + 'static {
    /// Many of them.
    type Elements: Elements<Self>;
    /// What is named where another thing came.
    const EXPECTED: &'static str;

    fn from_number(_: &Number<'_>) -> Option<Self> {
        None
    }
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_string(_: &str) -> Option<Self> {
        None
    }
    /// From one of [`WORDS`](super::WORDS).
    fn from_word(_: &str) -> Option<Self> {
        None
    }
    /// From a string that was in base64.
    fn from_bytes(_: Vec<u8>) -> Option<Self> {
        None
    }
}

/// Elements as they come.
pub(super) trait Elements<T>: Default + 'static {
    fn push(&mut self, element: T);
}

impl<T: Element> Elements<T> for Vec<T> {
    #[inline]
    fn push(&mut self, element: T) {
        self.push(element);
    }
}

/// An element that is a string.
pub(super) struct Text(Vec<u8>);

impl Elements<Text> for Gathered {
    fn push(&mut self, Text(string): Text) {
        self.push(&string);
    }
}

macro_rules! integer_leaves {
    ($($rust:ty),*) => { $(impl Leaf for $rust {
        type Elements = Vec<Self>;
        const EXPECTED: &'static str = <$rust as Element>::DATATYPE.name();
        #[inline]
        fn from_number(number: &Number<'_>) -> Option<Self> {
            if !number.is_integer {
                return None;
            }
            match number.decimal {
                // -0 is 0 for unsigned numbers too.
                Some((mantissa, _)) if !number.negative || mantissa == 0 => mantissa.try_into().ok(),
                // The least number of all has no positive counterpart; more than 19 digits may still be a u64.
                _ => number.text().parse().ok(),
            }
        }
    })* };
}

integer_leaves!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! float_leaves {
    ($($rust:ty: $round:expr),*) => { $(impl Leaf for $rust {
        type Elements = Vec<Self>;
        const EXPECTED: &'static str = <$rust as Element>::DATATYPE.name();
        #[inline]
        fn from_number(number: &Number<'_>) -> Option<Self> {
            Some($round(number)?).filter(|rounded: &Self| rounded.is_finite())
        }
        fn from_word(word: &str) -> Option<Self> {
            match word {
                "NaN" => Some(Self::NAN),
                "Infinity" => Some(Self::INFINITY),
                "-Infinity" => Some(Self::NEG_INFINITY),
                _ => None,
            }
        }
    })* };
}

float_leaves!(
    f16: |number| double(number).map(f16::from_f64),
    bf16: |number| double(number).map(bf16::from_f64),
    f32: single,
    f64: double
);

/// Powers of ten that an `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Mantissas up to this one an `f64` holds exactly.
const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;

/// And those that an `f32` does.
const EXACT_SINGLE: u64 = 1 << f32::MANTISSA_DIGITS;

/// The mantissa, rounded once, times the power, rounded once more; `None` where the power would be rounded too.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "that is the rounding")]
fn scaled((mantissa, exponent): (u64, i32)) -> Option<f64> {
    let power = *POWERS.get(usize::try_from(exponent.unsigned_abs()).ok()?)?;
    Some(if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power })
}

#[inline]
fn double(number: &Number<'_>) -> Option<f64> {
    // Where the mantissa needs no rounding there is one rounding alone, which is the right one.
    let exact = number.decimal.filter(|(mantissa, _)| *mantissa <= EXACT).and_then(scaled);
    match exact {
        Some(size) => Some(if number.negative { -size } else { size }),
        None => number.text().parse().ok(),
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "that is the rounding")]
fn single(number: &Number<'_>) -> Option<f32> {
    if let Some((mantissa @ ..=EXACT_SINGLE, 0)) = number.decimal {
        return Some(if number.negative { -(mantissa as f32) } else { mantissa as f32 });
    }
    match number.decimal.and_then(scaled).filter(|size| rounds_alike(*size)) {
        Some(size) => Some(if number.negative { -size as f32 } else { size as f32 }),
        None => number.text().parse().ok(),
    }
}

/// Whether all that is within two roundings of `size` becomes the same `f32`: it is not near the middle between two of
/// them, nor so small that their distance changes.
#[inline]
fn rounds_alike(size: f64) -> bool {
    const LOST: u32 = f64::MANTISSA_DIGITS - f32::MANTISSA_DIGITS;
    const MIDDLE: u64 = 1 << (LOST - 1);
    const NEAR: u64 = 4;
    let lost = size.to_bits() & ((1 << LOST) - 1);
    size == 0.0 || size >= f64::from(f32::MIN_POSITIVE) && lost.abs_diff(MIDDLE) > NEAR
}

impl Leaf for bool {
    type Elements = Vec<Self>;
    const EXPECTED: &'static str = Datatype::Bool.name();

    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl Leaf for Text {
    type Elements = Gathered;
    const EXPECTED: &'static str = Datatype::Bytes.name();

    fn from_string(value: &str) -> Option<Self> {
        Some(Self(value.into()))
    }
    fn from_bytes(value: Vec<u8>) -> Option<Self> {
        Some(Self(value))
    }
}

/// Padding may be left out, as TensorFlow Serving has it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn from_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    BASE64.decode(text)
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}
