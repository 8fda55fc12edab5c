//! Users and groups of the system as configuration names them: by name, or by number.

use std::{fmt, str::FromStr};

/// A user or a group. What number a name has is seen when it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// `www-data`
    Name(String),
    /// `33`
    Id(u32),
}

/// Why a text names nobody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name or number of a user or group")]
pub struct AccountError(String);

impl FromStr for Account {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let error = || AccountError(text.to_owned());
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // The highest number means nobody at all: chown(2) takes it for "leave it as it is".
            return text.parse().ok().filter(|id| *id < u32::MAX).map(Self::Id).ok_or_else(error);
        }
        // These would break the line of /etc/passwd that the name is in.
        let breaks = |character: char| {
            character.is_control() || character.is_whitespace() || ":,/".contains(character)
        };
        if text.contains(breaks) || text.starts_with('-') {
            Err(error())
        } else {
            Ok(Self::Name(text.to_owned()))
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read_as_written() {
        for text in ["www-data", "33", "0", "_apt", "svc$", "4294967294"] {
            assert_eq!(text.parse::<Account>().unwrap().to_string(), text);
        }
        for text in ["", "a b", "a:b", "-1", "4294967295", "99999999999", "a/b", "a\n", "a,b"] {
            assert!(text.parse::<Account>().is_err(), "{text:?}");
        }
    }
}
