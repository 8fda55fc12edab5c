//! What comes with us: the licence of every package in the dependency tree, and what `protocol` depends on.

use super::source::{Broken, read, root};
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// A package of the tree.
#[derive(Debug)]
pub(crate) struct Package {
    name: String,
    licence: Option<String>,
    /// Names, without those of its own tests.
    dependencies: Vec<String>,
}

/// What `protocol` must not come to depend on: runtimes, sockets, clocks, logs.
const OUTSIDE: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "rustix",
    "libc",
    "hyper",
    "axum",
    "tower",
    "tracing",
    "log",
    "rand",
    "getrandom",
    "chrono",
    "time",
];

/// All packages for the targets that deny.toml names.
pub(crate) fn tree() -> Vec<Package> {
    let targets = strings(&read("deny.toml"), "graph", "targets");
    let platforms = targets.into_iter().flat_map(|target| ["--filter-platform".to_owned(), target]);
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(platforms.chain(["--quiet".to_owned()]).collect::<Vec<_>>())
        .exec()
        .unwrap_or_else(|error| panic!("cargo metadata: {error}"));
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let resolve = metadata.resolve.as_ref().expect("cargo resolves the tree");
    let dependencies: BTreeMap<_, Vec<String>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal = node
                .deps
                .iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
            (&node.id, normal.map(|dep| names[&dep.pkg].clone()).collect())
        })
        .collect();
    metadata
        .packages
        .iter()
        .map(|package| Package {
            name: package.name.to_string(),
            licence: package.license.clone(),
            dependencies: dependencies.get(&package.id).cloned().unwrap_or_default(),
        })
        .collect()
}

/// The licences that deny.toml allows.
pub(crate) fn allowed(deny: &str) -> Vec<String> {
    strings(deny, "licenses", "allow")
}

fn strings(text: &str, table: &str, key: &str) -> Vec<String> {
    let document: toml::Table = text.parse().unwrap_or_else(|error| panic!("deny.toml: {error}"));
    let array =
        document[table][key].as_array().unwrap_or_else(|| panic!("deny.toml: [{table}] {key} is no list"));
    array.iter().map(|value| value.as_str().expect("a list of texts").to_owned()).collect()
}

pub(crate) fn check(tree: &[Package], allowed: &[String]) -> Vec<Broken> {
    let broken = |package: &Package, rule: String| Broken {
        path: format!("Cargo.lock ({})", package.name),
        line: 1,
        rule,
    };
    tree.iter()
        .filter_map(|package| {
            let Some(licence) = &package.licence else {
                return Some(broken(package, "names no licence".into()));
            };
            // Old manifests write MIT/Apache-2.0.
            let expression = match spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX) {
                Ok(expression) => expression,
                Err(error) => {
                    return Some(broken(package, format!("its licence is not to be read: {error}")));
                }
            };
            let fine = expression.evaluate(|wanted| allowed.contains(&wanted.to_string()));
            (!fine).then(|| broken(package, format!("is under {licence}, which deny.toml does not allow")))
        })
        .collect()
}

/// The whole tree below `protocol` is free of I/O.
pub(crate) fn check_protocol(tree: &[Package]) -> Vec<Broken> {
    let by_name: BTreeMap<&str, &Package> = tree.iter().map(|package| (&*package.name, package)).collect();
    let mut seen = BTreeSet::new();
    let mut open = vec!["predictd-protocol"];
    while let Some(name) = open.pop() {
        if seen.insert(name) {
            open.extend(
                by_name
                    .get(name)
                    .into_iter()
                    .flat_map(|package| package.dependencies.iter().map(String::as_str)),
            );
        }
    }
    assert!(seen.len() > 1, "there is no tree below predictd-protocol");
    let outside = OUTSIDE.iter().filter(|name| seen.contains(**name));
    let rule = |name| format!("{name} is in its tree: protocol does no I/O and reads no clock");
    outside.map(|name| Broken { path: "protocol/Cargo.toml".into(), line: 1, rule: rule(name) }).collect()
}

#[cfg(test)]
fn package(name: &str, licence: Option<&str>, dependencies: &[&str]) -> Package {
    let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
    Package { name: name.into(), licence: licence.map(str::to_owned), dependencies }
}

#[test]
fn licences_that_are_not_allowed_are_found() {
    let allowed = allowed("[licenses]\nallow = ['MIT', 'Apache-2.0', 'Apache-2.0 WITH LLVM-exception']");
    let check = |licence: Option<&str>, says: &str| {
        let broken = check(&[package("x", licence, &[])], &allowed);
        let said = broken.first().map(ToString::to_string).unwrap_or_default();
        assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{licence:?}: {said}");
    };
    for fine in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-2.0-only) AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        check(Some(fine), "");
    }
    check(Some("GPL-3.0-only"), "Cargo.lock (x):1: is under GPL-3.0-only");
    check(Some("MIT AND ISC"), "does not allow");
    check(Some("whatever"), "not to be read");
    check(None, "names no licence");
}

#[test]
fn a_runtime_below_protocol_is_found() {
    let tree = |leaf: &str| {
        [
            package("predictd-protocol", None, &["a"]),
            package("a", None, &[leaf]),
            package("x", None, &["mio"]),
        ]
    };
    assert_eq!(check_protocol(&tree("bytes")), []);
    assert_eq!(check_protocol(&tree("tokio")).len(), 1);
}
