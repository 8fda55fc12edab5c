//! The house itself as a test: which room may import from which, what may be named where, how long a file may be, which
//! licences may come in. ARCHITECTURE.md says why; a failure here says where, as file:line.
//!
//! Each check is a function of a [`Source`](source::Source), tried on made-up ones beside it, so that it is known to be able to
//! fail.

#![allow(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod documents;
mod floors;
mod licences;
mod places;
mod shape;
mod source;

use source::{Broken, Source, house, read};

/// All Rust files must pass `check`.
#[track_caller]
fn every_rust_file(check: impl Fn(&Source) -> Vec<Broken>) {
    nothing_broken(house(&["rs"]).iter().flat_map(check).collect());
}

#[track_caller]
fn nothing_broken(broken: Vec<Broken>) {
    let lines: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "the house is not tidy:\n{}\n", lines.join("\n"));
}

#[test]
fn imports_go_down_the_floors() {
    every_rust_file(floors::check);
}

#[test]
fn what_has_its_place_is_named_only_there() {
    every_rust_file(places::check);
}

#[test]
fn nom_shows_in_no_signature() {
    every_rust_file(places::check_nom);
}

#[test]
fn protocol_does_no_io_and_reads_no_clock() {
    every_rust_file(places::check_protocol);
    nothing_broken(licences::check_protocol(&licences::tree()));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    every_rust_file(shape::check);
}

#[test]
fn names_say_what_they_name() {
    every_rust_file(shape::check_names);
}

#[test]
fn nothing_is_left_for_later() {
    let files = house(&["rs", "py", "sh", "toml", "md", "conf", "c", "html", "js", "css", "Makefile"]);
    nothing_broken(files.iter().flat_map(shape::check_words).collect());
}

#[test]
fn licences_are_those_that_deny_toml_allows() {
    nothing_broken(licences::check(&licences::tree(), &licences::allowed(&read("deny.toml"))));
}

#[test]
fn every_file_for_nginx_is_used_by_a_test() {
    let tests: String = house(&["rs", "py"])
        .iter()
        .filter(|file| ["tests/server/", "tests/django/"].iter().any(|folder| file.path.starts_with(folder)))
        .map(|file| &*file.text)
        .collect();
    nothing_broken(documents::check_nginx(&source::list("nginx"), &tests));
}

#[test]
fn documents_name_what_exists() {
    let sources = house(&["rs", "py"]);
    let documents =
        house(&["md"]).into_iter().filter(|file| !file.path.contains('/') && file.path != "CHANGELOG.md");
    nothing_broken(documents.flat_map(|file| documents::check(&file, &sources)).collect());
}
