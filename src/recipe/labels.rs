//! The names of a model's classes, from a file of its owner: a line each, or JSON where its name ends in `.json`.
//!
//! JSON may be a list of names, or an object from index to name or from name to index (Keras' `class_indices`).

use serde_json::Value;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why there are no labels.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or is no UTF-8.
    #[error("{}: {error}", name(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no JSON, or another kind of it.
    #[error("{}: {why}", name(path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What it is called, without where it lies: that is not for everybody's eyes.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The names in the order of the classes.
///
/// # Errors
/// Where the file cannot be read or understood.
pub fn load(path: &Path) -> Result<Vec<String>, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Error::Unreadable { path: path.to_owned(), error })?;
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let labels = if json { from_json(&text) } else { Ok(from_lines(&text)) };
    let labels =
        labels.and_then(
            |labels| {
                if labels.is_empty() { Err("there are no labels in it".into()) } else { Ok(labels) }
            },
        );
    labels.map_err(|why| Error::Malformed { path: path.to_owned(), why })
}

/// A line is a label, an empty one too, so that the others keep their index; not so at the end of the file.
fn from_lines(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}').trim_end();
    if text.is_empty() { Vec::new() } else { text.lines().map(|line| line.trim().to_owned()).collect() }
}

fn from_json(text: &str) -> Result<Vec<String>, String> {
    const KINDS: &str = "not a list of names, nor an object from index to name or from name to index";
    match serde_json::from_str(text).map_err(|error| error.to_string())? {
        Value::Array(names) => {
            let names = names.into_iter().map(|name| match name {
                Value::String(name) => Ok(name),
                _ => Err(KINDS.to_owned()),
            });
            names.collect()
        }
        Value::Object(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| {
                let (index, name) = match value {
                    Value::String(name) => (key.parse().ok(), name),
                    Value::Number(index) => (index.as_u64().and_then(|index| index.try_into().ok()), key),
                    _ => (None, key),
                };
                index.map(|index: usize| (index, name)).ok_or_else(|| KINDS.to_owned())
            });
            let mut pairs = pairs.collect::<Result<Vec<_>, _>>()?;
            pairs.sort_unstable();
            match pairs.iter().enumerate().find(|(expected, (index, _))| expected != index) {
                Some((expected, _)) => Err(format!("class {expected} has no name, or two")),
                None => Ok(pairs.into_iter().map(|(_, name)| name).collect()),
            }
        }
        _ => Err(KINDS.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(name: &str, text: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        load(&path).map_err(|error| error.to_string().replace(&*path.to_string_lossy(), name))
    }

    #[test]
    fn a_label_is_a_line_or_an_element_of_json() {
        for (name, text) in [
            ("labels.txt", "cat\ndog\nowl\n"),
            ("labels.txt", "\u{feff}cat\r\n dog \r\nowl\r\n\r\n"),
            ("labels.json", r#"["cat", "dog", "owl"]"#),
            ("labels.JSON", r#"{"1": "dog", "0": "cat", "2": "owl"}"#),
            ("labels.json", r#"{"owl": 2, "cat": 0, "dog": 1}"#),
        ] {
            assert_eq!(load_text(name, text).unwrap(), ["cat", "dog", "owl"], "{text:?}");
        }
        assert_eq!(load_text("labels.txt", "a\n\nc").unwrap(), ["a", "", "c"]);
    }

    #[test]
    fn more_than_ten_indices_are_in_the_order_of_numbers() {
        let pairs: Vec<_> = (0..12).map(|index| format!("\"{index}\": \"n{index}\"")).collect();
        let labels = load_text("l.json", &format!("{{{}}}", pairs.join(","))).unwrap();
        assert_eq!((labels[2].as_str(), labels[10].as_str()), ("n2", "n10"));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (name, text, expected) in [
            ("l.txt", "\n\n", "l.txt: there are no labels in it"),
            ("l.json", "[]", "l.json: there are no labels in it"),
            ("l.json", "[1, 2]", "l.json: not a list of names"),
            ("l.json", r#"{"0": ["n01", "cat"]}"#, "l.json: not a list of names"),
            ("l.json", r#"{"0": "cat", "2": "owl"}"#, "l.json: class 1 has no name, or two"),
            ("l.json", r#"{"cat": 0, "dog": 0}"#, "l.json: class 1 has no name, or two"),
            ("l.json", "cat\ndog", "l.json: expected value at line 1"),
        ] {
            let error = load_text(name, text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?} gave {error}");
        }
        assert!(matches!(load(Path::new("/nonexistent/labels.txt")), Err(Error::Unreadable { .. })));
    }
}
