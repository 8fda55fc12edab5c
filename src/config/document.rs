//! A text that should be TOML: its places, and what is shown where it is none.

use super::{origin::Origin, problem::Problems};
use config::{Map, Value, ValueKind};
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error},
};

/// A file's text.
#[derive(Debug)]
pub(super) struct Document<'a> {
    /// What the file is called; without a name it is the example, and its values the defaults.
    pub(super) file: Option<&'a str>,
    pub(super) text: &'a str,
}

/// A text as far as it can be read.
pub(super) struct Parsed<'a> {
    pub(super) table: DeTable<'a>,
    /// Where it is no TOML.
    broken: Vec<usize>,
    /// The first of these after which everything may mean something else.
    believed: usize,
}

impl Parsed<'_> {
    /// Whether a key and its value are worth a complaint of their own.
    pub(super) fn believes(&self, key: &Range<usize>, value: &Range<usize>) -> bool {
        let within = |at: &usize| (key.start..=value.end.max(key.end)).contains(at);
        key.start < self.believed && !self.broken.iter().any(within)
    }
}

impl<'a> Document<'a> {
    /// Reads the text as TOML as far as that goes; what is no TOML is told once a line.
    pub(super) fn parse(&self, problems: &mut Problems) -> Parsed<'a> {
        let (table, mut errors) = DeTable::parse_recoverable(self.text);
        let start = |error: &Error| error.span().map_or(0, |span| span.start);
        errors.sort_by_key(start);
        errors.dedup_by_key(|error| self.line_and_column(start(error)).0);
        // A value without quotes and a key that is there twice leave the rest as it is.
        let grave = errors.iter().filter(|error| !unquoted(error) && error.message() != DUPLICATE);
        let believed = grave.map(start).min().unwrap_or(usize::MAX);
        let broken = errors.iter().map(start).collect();
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            let at = self.origin(span.start);
            problems.add_syntax(at, self.explain(error, &span), self.excerpt(&span));
        }
        Parsed { table: table.into_inner(), broken, believed }
    }

    /// Where a byte is: the file, and line and column from 1.
    pub(super) fn origin(&self, at: usize) -> Origin {
        let Some(file) = self.file else { return Origin::Default };
        let (line, column) = self.line_and_column(at);
        Origin::File { name: file.to_owned(), line, column }
    }

    /// A value with its place.
    pub(super) fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        let origin = self.origin(value.span().start);
        let kind = match value.get_ref() {
            DeValue::String(text) => ValueKind::String(text.clone().into_owned()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(ValueKind::Float(f64::INFINITY), ValueKind::I128),
            DeValue::Float(number) => ValueKind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => ValueKind::Boolean(*truth),
            DeValue::Datetime(_) => ValueKind::Nil,
            DeValue::Array(items) => ValueKind::Array(items.iter().map(|item| self.value(item)).collect()),
            // No key takes one, so that nobody looks inside.
            DeValue::Table(_) => ValueKind::Table(Map::new()),
        };
        Value::new(Some(&origin.to_string()), kind)
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.rsplit('\n').next().unwrap_or(before);
        (before.matches('\n').count() + 1, line.trim_start_matches(BOM).chars().count() + 1)
    }

    fn explain(&self, error: &Error, span: &Range<usize>) -> String {
        let written = self.text.get(span.clone()).unwrap_or_default();
        if error.message() == DUPLICATE {
            return format!("`{written}` is there twice");
        }
        if unquoted(error) && written.is_empty() {
            return "there is no value".into();
        }
        if unquoted(error) {
            let truth = ["yes", "no", "on", "off", "true", "false"].contains(&&*written.to_lowercase());
            let truth = if truth { "; what is no text is true or false" } else { "" };
            return format!("a text has to be in quotes: \"{written}\"{truth}");
        }
        error.message().trim_end_matches(", expected nothing").to_owned()
    }

    /// The line with a caret below, as compilers show it; of a long one what is around.
    fn excerpt(&self, span: &Range<usize>) -> String {
        const BEFORE: usize = 50;
        const WIDTH: usize = 100;
        let (line, column) = self.line_and_column(span.start);
        let content = self.text.lines().nth(line - 1).unwrap_or_default().trim_start_matches(BOM);
        let first = (column - 1).saturating_sub(BEFORE);
        // What has no width, or a changing one, would move the caret, and may not reach a terminal.
        let plain = |character: char| if character.is_control() { ' ' } else { character };
        let shown: String = content.chars().skip(first).take(WIDTH).map(plain).collect();
        let indent = column - 1 - first;
        let marked = self.text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        let carets = marked.chars().count().clamp(1, shown.chars().count().saturating_sub(indent).max(1));
        let margin = " ".repeat(line.to_string().len());
        let caret = format!("{}{}", " ".repeat(indent), "^".repeat(carets));
        format!("{margin} |\n{line} | {}\n{margin} | {caret}", shown.trim_end())
    }
}

/// What an editor may put first.
const BOM: char = '\u{feff}';

const DUPLICATE: &str = "duplicate key";

fn unquoted(error: &Error) -> bool {
    error.message().starts_with("string values must be quoted")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut problems = Problems::default();
        Document { file: Some("f"), text }.parse(&mut problems);
        let found = problems.finish().err().unwrap_or_default();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn what_is_no_toml_is_shown_with_a_caret() {
        check("a = 1\n[b]\nc = 'x'\n", &[]);
        check(
            "listen = [\n",
            &["f:1:11: unclosed array, expected `]`\n  |\n1 | listen = [\n  |           ^"],
        );
        check(
            "body = 64MiB\n\nhead = 'x'\nhead = 'y'\n",
            &[
                "f:1:8: a text has to be in quotes: \"64MiB\"\n  |\n1 | body = 64MiB\n  |        ^^^^^",
                "f:4:1: `head` is there twice\n  |\n4 | head = 'y'\n  | ^^^^",
            ],
        );
        check("a =\n", &["f:1:4: there is no value\n  |\n1 | a =\n  |    ^"]);
        check("mode = 0660", &["f:1:8: unexpected leading zero\n  |\n1 | mode = 0660\n  |        ^"]);
    }

    #[test]
    fn a_caret_stands_below_its_character() {
        check(
            "\u{feff}\"ä\" = x\r\n",
            &["f:1:7: a text has to be in quotes: \"x\"\n  |\n1 | \"ä\" = x\n  |       ^"],
        );
        check("\ta = x", &["f:1:6: a text has to be in quotes: \"x\"\n  |\n1 |  a = x\n  |      ^"]);
        let long = format!("a = \"{}\" b", "x".repeat(300));
        let mut problems = Problems::default();
        Document { file: Some("f"), text: &long }.parse(&mut problems);
        let shown = problems.finish().unwrap_err()[0].to_string();
        assert!(shown.lines().all(|line| line.len() < 110), "{shown}");
        let caret = shown.lines().last().unwrap().find('^').unwrap();
        assert_eq!(&shown.lines().nth(2).unwrap()[caret..=caret], "b", "{shown}");
    }
}
