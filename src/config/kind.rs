//! Kinds of values: what a key takes, how that is read, printed, and what is said of anything else.
//!
//! "X is not Y" or "X is too large": what was written comes first, then what was expected.

mod amount;
mod composed;

pub(super) use amount::{Number, Whole, quantity, time, whole};
pub(super) use composed::{List, commas, list, unless};

use super::nearest::nearest;
use config::{Value, ValueKind};
use std::{fmt::Display, marker::PhantomData, path::PathBuf, str::FromStr};

/// What came of reading a value.
pub(super) type Read<T> = Result<T, Vec<Wrong>>;

/// What is wrong with a value, or with an element of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Of the element, as the value carries it.
    pub(super) origin: Option<String>,
    pub(super) what: String,
}

/// What a key takes.
pub(super) trait Kind: Send + Sync + 'static {
    type Out;

    /// In words, to end the sentence "X is not".
    fn expected(&self) -> String;

    /// What may have been meant by a value that is not of this kind.
    fn hint(&self, _: &Value) -> Option<String> {
        None
    }

    fn read(&self, value: &Value) -> Read<Self::Out>;

    /// What the text of a variable would be in a file.
    fn typed(&self, text: &str) -> ValueKind {
        text.into()
    }

    /// As a file would have it; the same for all ways to write the same.
    fn show(&self, out: &Self::Out) -> toml::Value;

    fn is_not(&self, value: &Value) -> Vec<Wrong> {
        let hint = self.hint(value).map_or(String::new(), |hint| format!("; {hint}"));
        wrong(value, format!("{} is not {}{hint}", got(value), self.expected()))
    }
}

pub(super) fn wrong(value: &Value, what: String) -> Vec<Wrong> {
    vec![Wrong { origin: value.origin().map(str::to_owned), what }]
}

/// A value as it was written, or what it is, in a few words.
pub(super) fn got(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match &value.kind {
        // No other kind becomes one: dates have none of their own.
        ValueKind::Nil => "a date".into(),
        ValueKind::Boolean(truth) => truth.to_string(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::I128(number) => number.to_string(),
        ValueKind::U64(number) => number.to_string(),
        ValueKind::U128(number) => number.to_string(),
        ValueKind::Float(number) => toml::Value::from(*number).to_string(),
        // One line, whatever it holds.
        ValueKind::String(text) => format!("\"{}\"", text.escape_debug()),
        ValueKind::Table(_) => "a table".into(),
        ValueKind::Array(items) if items.is_empty() => "[]".into(),
        ValueKind::Array(_) => "a list".into(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// A hint for what would be right if it were no text.
fn without_quotes(value: &Value, right: impl Fn(&str) -> bool) -> Option<String> {
    match &value.kind {
        ValueKind::String(text) if right(text) => Some(format!("write {text}, without quotes")),
        _ => None,
    }
}

/// `true` or `false`.
#[derive(Debug)]
pub(super) struct Truth;

impl Kind for Truth {
    type Out = bool;

    fn expected(&self) -> String {
        "true or false".into()
    }

    fn hint(&self, value: &Value) -> Option<String> {
        without_quotes(value, |text| matches!(text, "true" | "false"))
    }

    fn read(&self, value: &Value) -> Read<bool> {
        if let ValueKind::Boolean(truth) = value.kind { Ok(truth) } else { Err(self.is_not(value)) }
    }

    fn typed(&self, text: &str) -> ValueKind {
        text.parse::<bool>().map_or_else(|_| text.into(), ValueKind::Boolean)
    }

    fn show(&self, out: &bool) -> toml::Value {
        (*out).into()
    }
}

/// What is written as a text, and says itself what is wrong with another.
#[derive(Debug)]
pub(super) struct Text<T>(&'static str, PhantomData<fn() -> T>);

/// `expected` is said of what is no text at all.
pub(super) fn text<T>(expected: &'static str) -> Text<T> {
    Text(expected, PhantomData)
}

impl<T: FromStr<Err: Display> + Display + 'static> Kind for Text<T> {
    type Out = T;

    fn expected(&self) -> String {
        self.0.into()
    }

    fn read(&self, value: &Value) -> Read<T> {
        match &value.kind {
            ValueKind::String(text) => text.parse().map_err(|error: T::Err| wrong(value, error.to_string())),
            _ => Err(self.is_not(value)),
        }
    }

    fn show(&self, out: &T) -> toml::Value {
        out.to_string().into()
    }
}

/// Any name.
#[derive(Debug)]
pub(super) struct Name(pub(super) &'static str);

impl Kind for Name {
    type Out = String;

    fn expected(&self) -> String {
        self.0.into()
    }

    fn read(&self, value: &Value) -> Read<String> {
        match &value.kind {
            ValueKind::String(text) if !text.is_empty() && !text.contains('\0') => Ok(text.clone()),
            _ => Err(self.is_not(value)),
        }
    }

    fn show(&self, out: &String) -> toml::Value {
        out.as_str().into()
    }
}

/// A path; one that does not begin with `/` is meant from the working directory, and becomes absolute.
#[derive(Debug)]
pub(super) struct Absolute;

impl Kind for Absolute {
    type Out = PathBuf;

    fn expected(&self) -> String {
        "a path".into()
    }

    fn read(&self, value: &Value) -> Read<PathBuf> {
        let ValueKind::String(text) = &value.kind else { return Err(self.is_not(value)) };
        if text.is_empty() || text.contains('\0') {
            return Err(self.is_not(value));
        }
        if text == "~" || text.starts_with("~/") {
            let what = "is not a whole path: ~ means nothing here (write ./~ for a folder of that name)";
            return Err(wrong(value, format!("{} {what}", got(value))));
        }
        std::path::absolute(text).map_err(|error| {
            wrong(value, format!("{} needs the working directory, which is not there: {error}", got(value)))
        })
    }

    fn show(&self, out: &PathBuf) -> toml::Value {
        out.to_string_lossy().into_owned().into()
    }
}

/// One of a few words.
#[derive(Debug)]
pub(super) struct Words<T: 'static>(&'static [(&'static str, T)]);

/// Every value of `T` has to be there.
pub(super) const fn words<T>(words: &'static [(&'static str, T)]) -> Words<T> {
    Words(words)
}

impl<T: Copy + PartialEq + Sync + 'static> Kind for Words<T> {
    type Out = T;

    fn expected(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        match &words[..] {
            [only] => only.clone(),
            [all @ .., last] => format!("{} or {last}", all.join(", ")),
            [] => String::new(),
        }
    }

    fn hint(&self, value: &Value) -> Option<String> {
        let ValueKind::String(text) = &value.kind else { return None };
        // Of one it has been said already.
        let near = nearest(text, self.0.iter().map(|(word, _)| *word)).filter(|_| self.0.len() > 1)?;
        Some(format!("did you mean \"{near}\"?"))
    }

    fn read(&self, value: &Value) -> Read<T> {
        let ValueKind::String(text) = &value.kind else { return Err(self.is_not(value)) };
        if let Some((_, meant)) = self.0.iter().find(|(word, _)| word == text) {
            return Ok(*meant);
        }
        Err(self.is_not(value))
    }

    fn show(&self, out: &T) -> toml::Value {
        let (word, _) = self.0.iter().find(|(_, value)| value == out).expect("every value has its word");
        (*word).into()
    }
}
