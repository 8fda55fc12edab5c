//! Reads the keys of a file one by one, and learns on the way which there are.
//!
//! A key is declared by being read, so that its name, its kind and its place in the configuration stand in one line.

use super::{
    kind::Kind,
    layers::Merged,
    schema::{Key, Schema},
};
use std::sync::Arc;

pub(super) struct Keys<'a> {
    values: &'a Merged,
    declared: Vec<Key>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(values: &'a Merged) -> Self {
        Self { values, declared: Vec::new() }
    }

    /// The value of a key that has a default.
    pub(super) fn read<K: Kind>(&mut self, key: &str, kind: K) -> K::Out {
        self.find(key, kind).expect("a key that is read has its default in the example")
    }

    /// The value of a key that may be left out.
    pub(super) fn find<K: Kind>(&mut self, key: &str, kind: K) -> Option<K::Out> {
        self.declare(key, kind, false)
    }

    /// The same, and without it its table means nothing.
    pub(super) fn find_leader<K: Kind>(&mut self, key: &str, kind: K) -> Option<K::Out> {
        self.declare(key, kind, true)
    }

    fn declare<K: Kind>(&mut self, key: &str, kind: K, leads: bool) -> Option<K::Out> {
        let read = |value| kind.read(value).expect("a value is checked for its kind when its layer is read");
        let value = self.values.value(key).map(read);
        self.declared.push(Key { name: key.to_owned(), check: Arc::new(kind), leads });
        value
    }

    /// What has been read by now is what there is, and what `more` has.
    pub(super) fn into_schema(
        self,
        more: impl IntoIterator<Item = Key>,
        other: fn(&str) -> Option<&'static str>,
    ) -> Schema {
        Schema::new(self.declared.into_iter().chain(more).collect(), other)
    }
}
