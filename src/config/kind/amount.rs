//! Kinds of what can be too small or too large: numbers, durations and sizes.

use super::{Kind, Read, Wrong, got, without_quotes, wrong};
use crate::config::units;
use config::{Value, ValueKind};
use std::{fmt::Display, marker::PhantomData, ops::RangeInclusive};

/// A whole number within bounds.
#[derive(Debug)]
pub(in crate::config) struct Whole<N>(RangeInclusive<u64>, PhantomData<fn() -> N>);

pub(in crate::config) const fn whole<N>(range: RangeInclusive<u64>) -> Whole<N> {
    Whole(range, PhantomData)
}

impl<N: TryFrom<u64> + TryInto<u64> + Copy + 'static> Kind for Whole<N> {
    type Out = N;

    fn expected(&self) -> String {
        "a whole number".into()
    }

    fn hint(&self, value: &Value) -> Option<String> {
        without_quotes(value, |text| text.parse::<u64>().is_ok())
    }

    fn read(&self, value: &Value) -> Read<N> {
        let number = whole_number(value).ok_or_else(|| self.is_not(value))?;
        if number < (*self.0.start()).into() {
            return Err(out_of_range(value, true, self.0.start()));
        }
        let within = u64::try_from(number).ok().filter(|number| self.0.contains(number));
        within
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| out_of_range(value, false, self.0.end()))
    }

    fn typed(&self, text: &str) -> ValueKind {
        text.parse::<i128>().map_or_else(|_| text.into(), ValueKind::I128)
    }

    fn show(&self, out: &N) -> toml::Value {
        let number: u64 = (*out).try_into().unwrap_or(u64::MAX);
        i64::try_from(number).unwrap_or(i64::MAX).into()
    }
}

/// A number, whole or not.
#[derive(Debug)]
pub(in crate::config) struct Number;

impl Kind for Number {
    type Out = f64;

    fn expected(&self) -> String {
        "a number".into()
    }

    fn hint(&self, value: &Value) -> Option<String> {
        without_quotes(value, |text| text.parse::<f64>().is_ok_and(f64::is_finite))
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of a recipe, not an identifier")]
    fn read(&self, value: &Value) -> Read<f64> {
        match value.kind {
            ValueKind::Float(number) if number.is_finite() => Ok(number),
            _ => whole_number(value).map(|number| number as f64).ok_or_else(|| self.is_not(value)),
        }
    }

    fn typed(&self, text: &str) -> ValueKind {
        text.parse::<f64>().map_or_else(|_| text.into(), ValueKind::Float)
    }

    fn show(&self, out: &f64) -> toml::Value {
        (*out).into()
    }
}

/// A duration or a size within bounds.
#[derive(Debug)]
pub(in crate::config) struct Quantity<T>(RangeInclusive<T>);

pub(in crate::config) fn quantity<T>(range: RangeInclusive<T>) -> Quantity<T> {
    Quantity(range)
}

/// Longer is for ever: a hundred years, which every clock can add to its time.
const FOR_EVER: units::Duration = units::Duration(std::time::Duration::from_secs(876_000 * 3600));

/// A duration of at least `least`.
pub(in crate::config) const fn time(least: std::time::Duration) -> Quantity<units::Duration> {
    Quantity(RangeInclusive::new(units::Duration(least), FOR_EVER))
}

impl<T: units::Measure + Ord + Copy + Send + Sync + 'static> Kind for Quantity<T> {
    type Out = T;

    fn expected(&self) -> String {
        T::expected()
    }

    fn hint(&self, value: &Value) -> Option<String> {
        let ValueKind::String(text) = &value.kind else { return None };
        T::similar(text).map(|similar| format!("did you mean \"{similar}\"?"))
    }

    fn read(&self, value: &Value) -> Read<T> {
        let ValueKind::String(text) = &value.kind else { return Err(self.is_not(value)) };
        let quantity = match T::from_str(text) {
            Ok(quantity) => quantity,
            Err(units::Error::TooLarge(_)) => return Err(out_of_range(value, false, self.0.end())),
            Err(units::Error::Malformed { .. }) => return Err(self.is_not(value)),
        };
        if quantity < *self.0.start() {
            return Err(out_of_range(value, true, self.0.start()));
        }
        if quantity > *self.0.end() {
            return Err(out_of_range(value, false, self.0.end()));
        }
        Ok(quantity)
    }

    fn show(&self, out: &T) -> toml::Value {
        out.to_string().into()
    }
}

fn whole_number(value: &Value) -> Option<i128> {
    match value.kind {
        ValueKind::I64(number) => Some(number.into()),
        ValueKind::I128(number) => Some(number),
        ValueKind::U64(number) => Some(number.into()),
        ValueKind::U128(number) => Some(number.try_into().unwrap_or(i128::MAX)),
        _ => None,
    }
}

fn out_of_range(value: &Value, small: bool, bound: impl Display) -> Vec<Wrong> {
    let (what, side) = if small { ("small", "least") } else { ("large", "most") };
    wrong(value, format!("{} is too {what}: at {side} {bound}", got(value)))
}
