//! What differs between two configurations, and what it takes for that to have its effect.

use super::{Config, Setting};
use std::fmt;

/// What it takes for a changed key to have its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A reload.
    Reload,
    /// A new process: a restart, or SIGUSR2.
    Restart,
}

/// A key with another value, or one that is set or left out in only one of two.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The full name of the key.
    pub key: String,
    /// Its value before, as a file would have it.
    pub was: Option<toml::Value>,
    /// Its value now.
    pub is: Option<toml::Value>,
    /// What it takes.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value =
            |value: &Option<toml::Value>| value.as_ref().map_or("not set".into(), ToString::to_string);
        write!(f, "{}: {} becomes {}", self.key, value(&self.was), value(&self.is))
    }
}

/// Keys and tables that a reload takes; all others need a new process.
const RELOADED: &[&str] = &[
    "models",
    "cache",
    "strict_models",
    "wires",
    "socket.allow_users",
    "limits",
    "log.level",
    "log.access",
    "defaults",
];

impl Effect {
    /// What it takes for a change of this key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        let covers =
            |of: &&str| key.strip_prefix(*of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if RELOADED.iter().any(covers) { Self::Reload } else { Self::Restart }
    }
}

impl Config {
    /// Each key that is not the same in `new`, in the order of the example.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let value_in = |settings: &[Setting], key: &str| {
            settings.iter().find(|setting| setting.key == key).map(|setting| setting.value.clone())
        };
        let gone = self.settings.iter().filter(|old| value_in(&new.settings, &old.key).is_none());
        let keys = new.settings.iter().chain(gone).map(|setting| setting.key.as_str());
        let changes = keys.map(|key| Change {
            key: key.to_owned(),
            was: value_in(&self.settings, key),
            is: value_in(&new.settings, key),
            effect: Effect::of(key),
        });
        changes.filter(|change| change.was != change.is).collect()
    }
}
