//! The keys that a file may have, and what is said of one that it may not.

use super::{
    kind::{Kind, Read},
    nearest::nearest,
};
use config::{Value, ValueKind};
use std::{collections::BTreeSet, fmt, sync::Arc};

/// A kind of values, whatever it reads them as.
pub(super) trait Check: Send + Sync {
    /// The value as a file would have it, the same for all ways to write the same.
    fn canonical(&self, value: &Value) -> Read<toml::Value>;

    /// What the text of a variable would be in a file.
    fn typed(&self, text: &str) -> ValueKind;
}

impl<K: Kind> Check for K {
    fn canonical(&self, value: &Value) -> Read<toml::Value> {
        self.read(value).map(|out| self.show(&out))
    }

    fn typed(&self, text: &str) -> ValueKind {
        Kind::typed(self, text)
    }
}

/// A key of a file.
#[derive(Clone)]
pub(super) struct Key {
    /// Its full name.
    pub(super) name: String,
    pub(super) check: Arc<dyn Check>,
    /// Whether its table means nothing without it.
    pub(super) leads: bool,
}

/// All keys of a file by their full names, in the order in which they are read.
pub(super) struct Schema {
    /// The other file, if a key or table of that last name belongs there.
    other: fn(&str) -> Option<&'static str>,
    keys: Vec<Key>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Schema {
    pub(super) fn new(keys: Vec<Key>, other: fn(&str) -> Option<&'static str>) -> Self {
        Self { other, keys }
    }

    /// The keys with the name of a table before theirs, for a file that has them in it.
    pub(super) fn within(&self, table: &str) -> impl Iterator<Item = Key> {
        self.keys.iter().map(move |key| Key { name: format!("{table}.{}", key.name), ..key.clone() })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.name.as_str())
    }

    pub(super) fn key(&self, name: &str) -> Option<&dyn Check> {
        self.keys.iter().find(|key| key.name == name).map(|key| &*key.check)
    }

    /// The key without which a table means nothing, if it has one.
    pub(super) fn leader(&self, table: &str) -> Option<&str> {
        let leads = |key: &&Key| key.leads && split(&key.name).0 == table;
        self.keys.iter().find(leads).map(|key| key.name.as_str())
    }

    pub(super) fn is_table(&self, name: &str) -> bool {
        self.names().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }

    /// The keys and tables directly in a table; `""` is the top of the file.
    pub(super) fn members(&self, table: &str) -> BTreeSet<&str> {
        let inside = |key: &'_ str| -> Option<usize> {
            let rest = if table.is_empty() { key } else { key.strip_prefix(table)?.strip_prefix('.')? };
            Some(key.len() - rest.len())
        };
        let member = |key: &'_ str| -> Option<(usize, usize)> {
            let start = inside(key)?;
            Some((start, key[start..].find('.').map_or(key.len(), |end| start + end)))
        };
        self.names().filter_map(|key| member(key).map(|(start, end)| &key[start..end])).collect()
    }

    /// What to say of a name that is no key, be it of a value or of a table.
    pub(super) fn unknown(&self, name: &str) -> String {
        let (table, word) = split(name);
        let what = "there is no such key";
        if let Some(place) = self.place_of(word) {
            return format!("{what} here: `{word}` {place}");
        }
        if let Some(near) = nearest(word, self.members(table)) {
            return format!("{what}; did you mean `{near}`?");
        }
        if let Some(other) = (self.other)(word) {
            return format!("{what} here: `{word}` belongs to {other}");
        }
        if let Some(near) = nearest(word, self.names().map(|key| split(key).1))
            && let Some(place) = self.place_of(near)
        {
            return format!("{what}; did you mean `{near}`, which {place}?");
        }
        let members: Vec<&str> = self.members(table).into_iter().collect();
        let whose = if table.is_empty() { "the top of the file".into() } else { format!("[{table}]") };
        format!("{what}; {whose} has {}", members.join(", "))
    }

    /// Where a key or table of that last name belongs, if there is one.
    pub(super) fn place_of(&self, word: &str) -> Option<String> {
        let tables = self.names().flat_map(|key| key.match_indices('.').map(|(end, _)| &key[..end]));
        let name =
            self.names().chain(tables).filter(|name| split(name).1 == word).min_by_key(|name| name.len())?;
        Some(match split(name) {
            _ if self.is_table(name) => format!("is the table [{name}]"),
            ("", _) => "belongs to the top of the file, above the first [table]".into(),
            (table, _) => format!("belongs to [{table}]"),
        })
    }
}

/// A name into its table and its last part.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}
