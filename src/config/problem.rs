//! What is wrong with a configuration: all of it, each with its place, its key and what would be right.

use super::origin::Origin;
use std::{collections::BTreeSet, fmt, path::PathBuf};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// The key's full name; empty where the text is no TOML.
    pub key: String,
    /// What is wrong, and what was expected, in one line.
    pub what: String,
    /// The line of the file with a caret below, where the text is no TOML.
    pub excerpt: Option<String>,
}

impl Problem {
    /// The same for those whom folders are no business of.
    pub(super) fn without_folder(self) -> Self {
        Self { origin: self.origin.without_folder(), ..self }
    }

    /// Place, key and what is wrong, without the excerpt.
    pub(super) fn line(&self) -> String {
        let Self { origin, key, what, .. } = self;
        // A variable or a flag says by its own name which key it sets.
        let named = matches!(origin, Origin::Variable(_) | Origin::Flag(_)) || key.is_empty();
        if named { format!("{origin}: {what}") } else { format!("{origin}: {key}: {what}") }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())?;
        self.excerpt.iter().try_for_each(|excerpt| write!(f, "\n{excerpt}"))
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read at all.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// There is more of it than anybody writes.
    #[error("{0} is larger than 1MiB: this is no configuration")]
    TooLarge(PathBuf),
    /// Everything that is wrong, in the order of the file, then variables, then flags.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Wrong(Vec<Problem>),
}

impl Error {
    /// Whether it is the command line alone that is wrong.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        let flag = |problem: &Problem| matches!(problem.origin, Origin::Flag(_));
        matches!(self, Self::Wrong(problems) if problems.iter().all(flag))
    }
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
    keys: BTreeSet<String>,
}

impl Problems {
    pub(super) fn add(&mut self, origin: Origin, key: &str, what: impl Into<String>) {
        self.keys.insert(key.to_owned());
        self.found.push(Problem { origin, key: key.to_owned(), what: what.into(), excerpt: None });
    }

    pub(super) fn add_syntax(&mut self, origin: Origin, what: String, excerpt: String) {
        self.found.push(Problem { origin, key: String::new(), what, excerpt: Some(excerpt) });
    }

    /// Whether something is wrong with this key already, so that it proves nothing about others.
    pub(super) fn concerns(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Everything, in order; `Ok` if there is nothing.
    pub(super) fn finish(mut self) -> Result<(), Vec<Problem>> {
        self.found.sort();
        self.found.dedup();
        if self.found.is_empty() { Ok(()) } else { Err(self.found) }
    }
}
