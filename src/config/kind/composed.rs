//! Kinds made of others: a word or something else, and lists.

use super::{Kind, Read, got, wrong};
use crate::config::nearest::nearest;
use config::{Value, ValueKind};

/// A word that stands for a value of its own, else something else: `"auto"`, or `""` for none.
#[derive(Debug)]
pub(in crate::config) struct Unless<K>(&'static str, K);

pub(in crate::config) const fn unless<K>(word: &'static str, kind: K) -> Unless<K> {
    Unless(word, kind)
}

impl<K: Kind> Kind for Unless<K> {
    /// `None` for the word.
    type Out = Option<K::Out>;

    fn expected(&self) -> String {
        format!("\"{}\" or {}", self.0, self.1.expected())
    }

    fn hint(&self, value: &Value) -> Option<String> {
        let word = match &value.kind {
            ValueKind::String(text) => nearest(text, [self.0]),
            _ => None,
        };
        word.map(|word| format!("did you mean \"{word}\"?")).or_else(|| self.1.hint(value))
    }

    fn read(&self, value: &Value) -> Read<Option<K::Out>> {
        if matches!(&value.kind, ValueKind::String(text) if text == self.0) {
            return Ok(None);
        }
        self.1.read(value).map(Some).map_err(|wrongs| {
            // What is of another kind may have been meant for the word.
            if wrongs == self.1.is_not(value) && !self.0.is_empty() { self.is_not(value) } else { wrongs }
        })
    }

    fn typed(&self, text: &str) -> ValueKind {
        if text == self.0 { text.into() } else { self.1.typed(text) }
    }

    fn show(&self, out: &Option<K::Out>) -> toml::Value {
        out.as_ref().map_or_else(|| self.0.into(), |out| self.1.show(out))
    }
}

/// A list, each of it once; in a variable with commas between.
#[derive(Debug)]
pub(in crate::config) struct List<K> {
    item: K,
    empty: bool,
}

pub(in crate::config) const fn list<K>(item: K) -> List<K> {
    List { item, empty: true }
}

impl<K> List<K> {
    /// There has to be one at least.
    pub(in crate::config) fn not_empty(self) -> Self {
        Self { empty: false, ..self }
    }
}

impl<K: Kind> Kind for List<K> {
    type Out = Vec<K::Out>;

    fn expected(&self) -> String {
        let least = if self.empty { "" } else { " of one or more" };
        format!("a list{least}, each {}", self.item.expected())
    }

    fn read(&self, value: &Value) -> Read<Vec<K::Out>> {
        let ValueKind::Array(items) = &value.kind else {
            return Err(if self.item.read(value).is_ok() {
                wrong(value, format!("{0} is not a list: write [{0}]", got(value)))
            } else {
                self.is_not(value)
            });
        };
        if items.is_empty() && !self.empty {
            return Err(self.is_not(value));
        }
        let (mut read, mut wrongs, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        for item in items {
            match self.item.read(item) {
                Ok(out) => {
                    let show = self.item.show(&out);
                    if shown.contains(&show) {
                        wrongs.extend(wrong(item, format!("{} is there twice", got(item))));
                    }
                    shown.push(show);
                    read.push(out);
                }
                Err(more) => wrongs.extend(more),
            }
        }
        if wrongs.is_empty() { Ok(read) } else { Err(wrongs) }
    }

    fn typed(&self, text: &str) -> ValueKind {
        commas(text, |item| self.item.typed(item))
    }

    fn show(&self, out: &Vec<K::Out>) -> toml::Value {
        out.iter().map(|item| self.item.show(item)).collect::<Vec<_>>().into()
    }
}

/// What stands between the commas of a variable.
pub(in crate::config) fn commas(text: &str, typed: impl Fn(&str) -> ValueKind) -> ValueKind {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    ValueKind::Array(items.map(|item| Value::new(None, typed(item))).collect())
}
