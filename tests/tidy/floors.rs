//! Imports go down the floors: a room names only rooms below its own.

use super::source::{Broken, Named, Source, found};

/// The crate of the server, from the top. Rooms on one floor are strangers.
const SERVER: &[&[&str]] = &[
    &["lib", "main"],
    &["cli"],
    &["server", "doctor"],
    &["api"],
    &["serving"],
    &["pool"],
    &["model", "recipe"],
    &["wire"],
    &["config", "telemetry"],
    &["os"],
];

/// The crate of the protocols.
const PROTOCOL: &[&[&str]] = &[&["lib"], &["gateway", "inference"], &["excerpt"]];

/// Of a room below, only these: (who, whom, what of it).
const ONLY: &[(&str, &str, &[&str])] = &[("config", "os", &["account", "cpus", "socket"])];

/// Bytes and numbers meet in `api`: (who, what of the protocols is not theirs).
const NOT_THEIRS: &[(&str, &str)] = &[
    ("config", "inference"),
    ("wire", "inference"),
    ("model", "gateway"),
    ("recipe", "gateway"),
    ("pool", "gateway"),
    ("serving", "gateway"),
];

pub(crate) fn check(file: &Source) -> Vec<Broken> {
    let (floors, inside) = match (file.path.strip_prefix("src/"), file.path.strip_prefix("protocol/src/")) {
        (Some(inside), _) => (SERVER, inside),
        (_, Some(inside)) => (PROTOCOL, inside),
        _ => return Vec::new(),
    };
    let module = module(inside);
    let room = module.first().map_or("lib", String::as_str);
    let Some(own) = floor(floors, room) else {
        return vec![file.broken(
            1,
            format!("room '{room}' has no floor: give it one in ARCHITECTURE.md and tests/tidy/floors.rs"),
        )];
    };
    let mut broken = Vec::new();
    for path in file.paths() {
        if let [protocol, part, ..] = &path.segments[..]
            && protocol == "predictd_protocol"
            && NOT_THEIRS.contains(&(room, part))
        {
            broken.push(file.broken(
                path.line,
                format!("{room} names protocol's {part}: bytes and numbers meet in api only"),
            ));
        }
        let Some(target) = absolute(&module, &path) else { continue };
        let Some(other) = target.first() else { continue };
        if other == room || own == 0 {
            continue;
        }
        let Some(theirs) = floor(floors, other) else {
            broken.push(file.broken(
                path.line,
                format!("{room} names crate::{other}, which is no room: name the room that it is of"),
            ));
            continue;
        };
        if theirs <= own {
            let relation = if theirs == own { "beside it: they are strangers" } else { "above it" };
            broken.push(file.broken(
                path.line,
                format!("{room} imports from {other}, which is {relation}; imports go down the floors"),
            ));
        }
        let allowed =
            ONLY.iter().find(|(who, whom, _)| who == &room && whom == other).map(|(_, _, what)| *what);
        if let Some(what) = allowed.filter(|what| !target.get(1).is_some_and(|part| what.contains(&&**part)))
        {
            broken.push(
                file.broken(path.line, format!("{room} may import from {other} only {}", what.join(", "))),
            );
        }
    }
    broken
}

/// How far from the top.
fn floor(floors: &[&[&str]], room: &str) -> Option<usize> {
    floors.iter().position(|floor| floor.contains(&room))
}

/// `api/predict.rs` is `api::predict`, `recipe/image_tests.rs` a child of `recipe::image`.
fn module(inside: &str) -> Vec<String> {
    let stem = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut module: Vec<String> = stem.split('/').map(str::to_owned).collect();
    let last = module.pop().unwrap_or_default();
    match last.strip_suffix("_tests") {
        Some(of) => module.extend([of.to_owned(), "tests".to_owned()]),
        None if last == "mod" || last == "lib" => {}
        None => module.push(last),
    }
    module
}

/// Where a path leads within the crate, from its root; `None` if out of it.
fn absolute(module: &[String], path: &Named) -> Option<Vec<String>> {
    let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
    let rest = &path.segments[supers..];
    match path.segments[0].as_str() {
        "crate" | "predictd" => Some(path.segments[1..].to_vec()),
        "super" => {
            let here = [module, &path.modules[..]].concat();
            let kept = &here[..here.len().saturating_sub(supers)];
            // What stays in its room is no import.
            Some([kept, rest].concat())
        }
        _ => None,
    }
}

#[test]
fn imports_from_above_and_beside_are_found() {
    let found = |path, text| found(check, path, text);
    let up = "pool imports from api, which is above it; imports go down the floors";
    assert_eq!(
        found("src/pool/mod.rs", "//! x\nuse crate::{\n model::x,\n api::App};"),
        [format!("4: {up}")]
    );
    assert_eq!(found("src/pool/worker.rs", "fn f() { crate::api::g() }"), [format!("1: {up}")]);
    assert_eq!(found("src/pool/mod.rs", "use super::api::App;"), [format!("1: {up}")]);
    assert_eq!(found("src/pool/worker_tests.rs", "use super::super::super::api::App;"), [format!("1: {up}")]);
    let beside =
        "1: model imports from recipe, which is beside it: they are strangers; imports go down the floors";
    assert_eq!(found("src/model/onnx.rs", "use crate::recipe::image;"), [beside]);
    let strangers = "1: inference imports from gateway, which is beside it: they are strangers; imports go down the floors";
    assert_eq!(found("protocol/src/inference/v2/json.rs", "use crate::gateway::Error;"), [strangers]);
}

#[test]
fn imports_from_below_and_from_the_own_room_are_fine() {
    let fine = |path, text| assert_eq!(found(check, path, text), [""; 0], "{text}");
    fine("src/api/mod.rs", "use crate::{pool::Pool, serving::Models}; mod error; use error::Error;");
    fine("src/api/predict.rs", "use super::{App, error}; // crate::server\n const A: &str = \"crate::cli\";");
    fine("src/server.rs", "struct A; mod tests { use super::A; }");
    fine("src/pool/mod.rs", "mod queue; mod tests { use super::{super::model, queue}; }");
    fine("src/lib.rs", "pub use api::App; pub use crate::api::Error;");
    fine("src/main.rs", "fn main() { predictd::cli::main() }");
    fine("tests/server/main.rs", "use crate::harness;");
}

#[test]
fn a_room_without_a_floor_and_detours_by_lib_are_found() {
    let says = |path, text, part: &str| {
        let found = found(check, path, text);
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    };
    says("src/cellar/mod.rs", "", "room 'cellar' has no floor");
    says("src/wire/mod.rs", "use crate::App;", "wire names crate::App, which is no room");
    says(
        "src/config/mod.rs",
        "use crate::os::process;",
        "config may import from os only account, cpus, socket",
    );
    says("src/wire/uwsgi.rs", "use predictd_protocol::inference::v2;", "wire names protocol's inference");
    says(
        "src/recipe/image.rs",
        "use predictd_protocol::{gateway::cgi, inference};",
        "recipe names protocol's gateway",
    );
}
