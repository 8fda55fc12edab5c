//! Where a value comes from.
//!
//! The `config` crate carries a text with every value through all layers; this is what that text says.

use std::{fmt, path::Path};

/// Where a value comes from; later ones win over earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// A place in a file, from 1; the column counts characters.
    File {
        /// As it was named.
        name: String,
        /// The line.
        line: usize,
        /// The first character of the value or key.
        column: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line, with its dashes.
    Flag(String),
}

impl Origin {
    const DEFAULT: &str = "default";

    /// Reads what [`Display`](fmt::Display) has written.
    pub(super) fn read(text: &str) -> Self {
        if text == Self::DEFAULT {
            return Self::Default;
        }
        if text.starts_with("--") {
            return Self::Flag(text.to_owned());
        }
        let mut parts = text.rsplitn(3, ':');
        let mut number = || parts.next()?.parse().ok();
        match (number(), number(), parts.next()) {
            (Some(column), Some(line), Some(name)) => Self::File { name: name.to_owned(), line, column },
            _ => Self::Variable(text.to_owned()),
        }
    }

    /// The same, of a file only its name.
    pub(super) fn without_folder(self) -> Self {
        let short = |name: String| {
            Path::new(&name).file_name().map_or(name.clone(), |name| name.to_string_lossy().into_owned())
        };
        match self {
            Self::File { name, line, column } => Self::File { name: short(name), line, column },
            other => other,
        }
    }

    /// Whether it is a place in the file of that name.
    pub(super) fn is_in(&self, file: &str) -> bool {
        matches!(self, Self::File { name, .. } if name == file)
    }

    /// Enough for somebody who knows which file was read: its name without folders, and the line.
    #[must_use]
    pub fn brief(&self) -> String {
        match self.clone().without_folder() {
            Self::File { name, line, .. } => format!("{name}:{line}"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str(Self::DEFAULT),
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_survives_being_a_text() {
        let file = |name: &str, line, column| Origin::File { name: name.into(), line, column };
        for (origin, brief) in [
            (Origin::Default, "default"),
            (file("/etc/predictd/predictd.toml", 3, 14), "predictd.toml:3"),
            (file("odd:7:name", 1, 1), "odd:7:name:1"),
            (Origin::Variable("PREDICTD_LIMITS__BODY".into()), "PREDICTD_LIMITS__BODY"),
            (Origin::Flag("--listen".into()), "--listen"),
        ] {
            assert_eq!(Origin::read(&origin.to_string()), origin);
            assert_eq!(origin.brief(), brief);
        }
    }

    #[test]
    fn later_layers_are_greater() {
        let file = |line| Origin::File { name: "f".into(), line, column: 9 };
        let rising =
            [Origin::Default, file(2), file(10), Origin::Variable("A".into()), Origin::Flag("--a".into())];
        assert!(rising.is_sorted());
    }
}
