//! What may be named only in some places: crates behind a seam, `unsafe`, nom, and in `protocol` nothing that does I/O.

use super::source::{Broken, Source, Token, found};

/// A name, where it may stand (files, or folders ending in `/`), and why.
const PLACES: &[(&str, &[&str], &str)] = &[
    (
        "ort",
        &["src/model/onnx.rs", "src/model/onnx/", "src/model/onnx_tests.rs"],
        "ONNX Runtime has one place",
    ),
    ("unsafe", &["src/model/onnx/raw.rs", "src/os/process.rs"], "unsafe code has two files"),
    ("nom", &["protocol/src/gateway/"], "parsers are the gateway's"),
    ("axum", &["src/api/", "examples/"], "routes are api's; wire answers by any service"),
    ("hyper", &["src/wire/"], "HTTP is a wire"),
    ("flate2", &["src/api/encoding.rs", "tests/"], "compression has one file"),
    ("ratatui", &["src/cli/top.rs", "src/cli/top/"], "a screen that is drawn has one place"),
    ("crossterm", &["src/cli/top.rs", "src/cli/top/"], "a screen that is drawn has one place"),
    ("clap", &["src/cli/"], "the command line is cli's"),
    (
        "anyhow",
        &["src/cli/", "src/server.rs", "src/server/", "src/lib.rs", "examples/"],
        "errors have types below the start-up",
    ),
    (
        "tokio",
        &[
            "src/cli/",
            "src/server.rs",
            "src/server/",
            "src/lib.rs",
            "src/api/",
            "src/serving/operation.rs",
            "src/pool/",
            "src/wire/",
            "src/os/signals.rs",
            "src/telemetry/phase.rs",
            "examples/",
            "tests/",
        ],
        "models, recipes and settings are plain functions",
    ),
];

/// Of the standard library, what `protocol` has no use for.
const OUTSIDE: &[&str] = &["net", "fs", "env", "process", "thread", "os"];

pub(crate) fn check(file: &Source) -> Vec<Broken> {
    let in_place = |places: &[&str]| {
        places.iter().any(|place| file.path == *place || place.ends_with('/') && file.path.starts_with(place))
    };
    let forbidden: Vec<_> = PLACES.iter().filter(|(_, places, _)| !in_place(places)).collect();
    let broken = |line, name: &str| {
        let (name, places, why) = forbidden.iter().find(|(other, ..)| *other == name)?;
        Some(file.broken(line, format!("'{name}' may stand only in {}: {why}", places.join(", "))))
    };
    let paths = file.paths();
    // A name alone may be a variable; a crate is one that a path begins with, and `unsafe` is neither.
    let crates =
        paths.iter().filter(|path| path.segments.len() > 1).map(|path| (path.line, &*path.segments[0]));
    let tokens = file.tokens();
    let keywords = tokens.iter().filter(|token| token.text == "unsafe").map(|token| (token.line, "unsafe"));
    crates.chain(keywords).filter_map(|(line, name)| broken(line, name)).collect()
}

pub(crate) fn check_protocol(file: &Source) -> Vec<Broken> {
    if !file.path.starts_with("protocol/") {
        return Vec::new();
    }
    let rule = |segments: &[String]| match segments {
        [std, part, ..] if std == "std" && OUTSIDE.contains(&&**part) => Some(format!("std::{part}")),
        [std, time, clock, ..] if std == "std" && time == "time" && clock != "Duration" => {
            Some(format!("std::time::{clock}"))
        }
        _ => None,
    };
    let paths = file.paths();
    let named = paths.iter().filter_map(|path| Some((path.line, rule(&path.segments)?)));
    named
        .map(|(line, name)| {
            file.broken(line, format!("protocol names {name}: it does no I/O and reads no clock"))
        })
        .collect()
}

/// No type of nom in what is public: the beginning of each `pub` item and `impl`, up to its body.
pub(crate) fn check_nom(file: &Source) -> Vec<Broken> {
    let paths = file.paths();
    let mut nom: Vec<&str> = vec!["nom"];
    let imports = paths.iter().filter(|path| path.segments[0] == "nom");
    nom.extend(imports.filter_map(|path| path.imported.as_deref()));
    let tokens = file.tokens();
    let mut broken = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let shown = token.text == "impl"
            || token.text == "pub" && tokens.get(at + 1).is_some_and(|next| next.text != "(");
        if !shown {
            continue;
        }
        let leak = signature(&tokens[at + 1..]).find(|token| nom.contains(&&*token.text));
        let rule = |leak: &Token| {
            format!("'{}' of nom shows in a signature: nom parses inside, where a block is whole", leak.text)
        };
        broken.extend(leak.map(|leak| file.broken(leak.line, rule(leak))));
    }
    broken
}

/// An item or impl up to its body, an enum with its variants.
fn signature(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    let whole = tokens.first().is_some_and(|token| token.text == "enum");
    let mut depth = 0;
    tokens.iter().take_while(move |token| match &*token.text {
        "{" => {
            depth += 1;
            whole
        }
        "}" => {
            depth -= 1;
            depth > 0
        }
        ";" => false,
        _ => true,
    })
}

#[test]
fn names_out_of_place_are_found() {
    let found = |path, text| found(check, path, text);
    let ort = "1: 'ort' may stand only in src/model/onnx.rs, src/model/onnx/, src/model/onnx_tests.rs: ONNX Runtime has one place";
    assert_eq!(found("src/pool/mod.rs", "use ort::session::Session;"), [ort]);
    assert_eq!(found("src/api/mod.rs", "fn f() { ort::api(); }"), [ort]);
    assert_eq!(found("src/model/onnx.rs", "use ort::session::Session;"), [""; 0]);
    assert_eq!(found("src/model/onnx/raw.rs", "use ort::sys; unsafe fn f() {}"), [""; 0]);
    let unsafe_code =
        "2: 'unsafe' may stand only in src/model/onnx/raw.rs, src/os/process.rs: unsafe code has two files";
    assert_eq!(found("src/wire/mod.rs", "// unsafe\nfn f() { unsafe { g() } }"), [unsafe_code]);
    assert_eq!(found("src/recipe/mod.rs", "#[tokio::test] async fn f() {}").len(), 1);
    assert_eq!(
        found(
            "src/serving/mod.rs",
            "use crate::ort;\n#![deny(unsafe_code)] // ort::x \nconst A: &str = \"axum::x\";"
        ),
        [""; 0]
    );
}

#[test]
fn io_and_clocks_are_found_in_protocol() {
    let found = |text| found(check_protocol, "protocol/src/gateway/uwsgi.rs", text);
    assert_eq!(found("use std::{io, fs};"), ["1: protocol names std::fs: it does no I/O and reads no clock"]);
    assert_eq!(found("\nfn f() { std::time::Instant::now() }").len(), 1);
    assert_eq!(found("use std::time::{Duration, SystemTime};").len(), 1);
    assert_eq!(found("use std::{fmt, time::Duration};"), [""; 0]);
}

#[test]
fn nom_in_a_signature_is_found() {
    let found = |text| found(check_nom, "protocol/src/gateway/uwsgi.rs", text);
    assert_eq!(found("use nom::IResult; pub fn f(a: &[u8]) -> IResult<&[u8], u8> { g() }").len(), 1);
    assert_eq!(found("impl From<nom::Err<()>> for Error { }").len(), 1);
    assert_eq!(found("use nom::Err as E; pub struct A { pub b: E<()> }\npub struct C { d: E<()> }").len(), 1);
    assert_eq!(found("pub enum A { B(u8), C { d: nom::Err<()> } }").len(), 1);
    assert_eq!(found("impl Error { fn f() { nom::error::Error } }"), [""; 0]);
    assert_eq!(found("pub use nom::IResult;").len(), 1);
    assert_eq!(found("pub type A = nom::Err<()>;").len(), 1);
    assert_eq!(
        found("use nom::IResult; pub fn f() -> u8 { g as IResult }\nfn h() -> IResult<(), ()> { }"),
        [""; 0]
    );
}
