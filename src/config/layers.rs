//! The layers that a configuration is made of, as they are written: each value checked for its kind, and with its origin.
//!
//! The `config` crate lays them over one another. What is wrong is told and left out, so that what is below shows through and
//! everything else can be checked too.

use super::{
    document::{Document, Parsed},
    kind::got,
    nearest::nearest,
    origin::Origin,
    problem::Problems,
    schema::{Schema, split},
};
use config::{ConfigError, Map, Source, Value, ValueKind};
use std::{collections::BTreeMap, ffi::OsString};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What one source says: values by the full names of their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(BTreeMap<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone().into_iter().collect())
    }
}

impl Layer {
    /// What a file says.
    pub(super) fn of_file(document: &Document<'_>, schema: &Schema, problems: &mut Problems) -> Self {
        let parsed = document.parse(problems);
        let mut layer = Self::default();
        layer.take_table("", &parsed.table, &Walk { document, parsed: &parsed, schema }, problems);
        layer
    }

    /// What variables say whose names begin with `prefix`; those that name no key are left to `unknown`.
    pub(super) fn of_environment(
        variables: impl Iterator<Item = (OsString, OsString)>,
        prefix: &str,
        schema: &Schema,
        problems: &mut Problems,
        unknown: &mut Vec<String>,
    ) -> Self {
        let variable = |key: &str| key.to_uppercase().replace('.', "__");
        let known: BTreeMap<String, &str> = schema.names().map(|key| (variable(key), key)).collect();
        let mut layer = Self::default();
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            let Some(key) = known.get(rest) else {
                let near = nearest_variable(rest, &known);
                let near = near.map_or(String::new(), |near| format!("; did you mean {prefix}{near}?"));
                let name = name.escape_debug();
                unknown.push(format!(
                    "the variable {name} names no key of the configuration, and is ignored{near}"
                ));
                continue;
            };
            let origin = Origin::Variable(name.clone().into_owned());
            match value.into_string() {
                Ok(text) => {
                    let kind = schema.key(key).expect("it is known").typed(&text);
                    layer.take(key, Value::new(Some(&origin.to_string()), kind), schema, problems);
                }
                Err(value) => {
                    let what = format!("{:?} is not UTF-8", value.to_string_lossy());
                    problems.add(origin, key, what);
                }
            }
        }
        layer
    }

    /// What flags say.
    pub(super) fn of_flags(
        flags: impl IntoIterator<Item = (&'static str, &'static str, ValueKind)>,
        schema: &Schema,
        problems: &mut Problems,
    ) -> Self {
        let mut layer = Self::default();
        for (flag, key, kind) in flags {
            let origin = Origin::Flag(flag.to_owned()).to_string();
            layer.take(key, Value::new(Some(&origin), kind), schema, problems);
        }
        layer
    }

    /// The layer below all others: every value of an example is a default.
    pub(super) fn of_defaults(example: &str) -> Self {
        fn take_all(layer: &mut Layer, path: &str, table: &DeTable<'_>, document: &Document<'_>) {
            for (name, value) in table {
                let path = join(path, name.get_ref());
                match value.get_ref() {
                    DeValue::Table(inner) => take_all(layer, &path, inner, document),
                    _ => _ = layer.0.insert(path, document.value(value)),
                }
            }
        }
        let document = Document { file: None, text: example };
        let mut layer = Self::default();
        take_all(&mut layer, "", &document.parse(&mut Problems::default()).table, &document);
        layer
    }

    /// Every key that has a value, in the order of the schema, with the value as a file would have it.
    pub(super) fn canonical<'a>(&self, schema: &'a Schema) -> Vec<(&'a str, toml::Value)> {
        let read = |name| Some((name, schema.key(name)?.canonical(self.0.get(name)?).ok()?));
        schema.names().filter_map(read).collect()
    }

    fn take(&mut self, key: &str, value: Value, schema: &Schema, problems: &mut Problems) {
        let check = schema.key(key).expect("only keys of the schema are taken");
        match check.canonical(&value) {
            Ok(_) => _ = self.0.insert(key.to_owned(), value),
            Err(wrongs) => {
                for wrong in wrongs {
                    let origin =
                        wrong.origin.as_deref().or(value.origin()).map_or(Origin::Default, Origin::read);
                    problems.add(origin, key, wrong.what);
                }
            }
        }
    }

    fn take_table(&mut self, path: &str, table: &DeTable<'_>, walk: &Walk<'_>, problems: &mut Problems) {
        let Walk { document, parsed, schema } = walk;
        for (name, value) in table {
            let is_table = matches!(value.get_ref(), DeValue::Table(_));
            let extent = if is_table { name.span() } else { value.span() };
            if !parsed.believes(&name.span(), &extent) {
                continue;
            }
            let path = join(path, name.get_ref());
            match value.get_ref() {
                _ if schema.key(&path).is_some() => {
                    self.take(&path, document.value(value), schema, problems);
                }
                DeValue::Table(inner) if schema.is_table(&path) => {
                    if let Some(leader) = schema.leader(&path).filter(|_| inner.is_empty()) {
                        let what = format!("the table is empty; remove it, or write {}", split(leader).1);
                        problems.add(document.origin(name.span().start), &path, what);
                    }
                    self.take_table(&path, inner, walk, problems);
                }
                _ => problems.add(document.origin(name.span().start), &path, walk.no_key(&path, value)),
            }
        }
    }
}

/// The variable that was meant, its table perhaps left out.
fn nearest_variable<'a>(name: &str, known: &'a BTreeMap<String, &str>) -> Option<&'a str> {
    let names = || known.keys().map(String::as_str);
    let last = |name: &'a str| name.rsplit("__").next().unwrap_or(name);
    let of_key = |key: &str| names().filter(|name| last(name) == key).min_by_key(|name| name.len());
    of_key(name).or_else(|| nearest(name, names())).or_else(|| of_key(nearest(name, names().map(last))?))
}

/// What is at hand on the way through a file.
struct Walk<'a> {
    document: &'a Document<'a>,
    parsed: &'a Parsed<'a>,
    schema: &'a Schema,
}

impl Walk<'_> {
    fn no_key(&self, path: &str, value: &Spanned<DeValue<'_>>) -> String {
        if !self.schema.is_table(path) {
            return self.schema.unknown(path);
        }
        let got = got(&self.document.value(value));
        let members: Vec<&str> = self.schema.members(path).into_iter().collect();
        format!("{got} is not a table: write [{path}], and below it {}", members.join(", "))
    }
}

/// The name of what is in a table, as a file would have it.
fn join(table: &str, name: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let short: String = name.chars().take(60).collect();
    let bare = !name.is_empty() && short == name && name.chars().all(plain);
    let name = if bare { short } else { format!("\"{}\"", short.escape_debug()) };
    if table.is_empty() { name } else { format!("{table}.{name}") }
}

/// All layers as one.
#[derive(Clone, Debug)]
pub(super) struct Merged(Map<String, Value>);

impl Merged {
    /// Later layers win, key by key; a list is one value.
    pub(super) fn of<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Self {
        let mut builder = config::Config::builder();
        for layer in layers {
            builder = builder.add_source(layer.clone());
        }
        let merged = builder.build().and_then(|config| config.collect());
        Self(merged.expect("layers are in memory, so that nothing about them can fail"))
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        let mut parts = key.split('.');
        let mut value = self.0.get(parts.next()?)?;
        for part in parts {
            let ValueKind::Table(table) = &value.kind else { return None };
            value = table.get(part)?;
        }
        Some(value)
    }

    /// What of it is below a table, by names that begin there.
    pub(super) fn below(&self, table: &str, schema: &Schema) -> Layer {
        let value = |name: &str| Some((name.to_owned(), self.value(&format!("{table}.{name}"))?.clone()));
        Layer(schema.names().filter_map(value).collect())
    }

    /// Where the value of a key comes from.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.value(key).and_then(Value::origin).map_or(Origin::Default, Origin::read)
    }

    /// Where an element of a list comes from.
    pub(super) fn origin_of_item(&self, key: &str, at: usize) -> Origin {
        let item = self.value(key).and_then(|value| match &value.kind {
            ValueKind::Array(items) => items.get(at)?.origin(),
            _ => None,
        });
        item.map_or_else(|| self.origin(key), Origin::read)
    }
}
