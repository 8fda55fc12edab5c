//! What is written about the house: the files and tests that documents name exist, and every configuration that we ship is
//! used by a test.

use super::source::{Broken, Source, found, root};

/// Folders that a path in a document may begin with.
const FOLDERS: &[&str] = &[
    "src/",
    "protocol/",
    "tests/",
    "fuzz/",
    "nginx/",
    "models/digits",
    "models/iris",
    "models/fetch",
    "scripts/",
    "examples/",
    "python/",
];

/// In `backquotes`, a path must exist, and a name with three underscores or more must be a test's. A table has one row for a
/// thing; a row whose first cell is empty goes on with the one above.
pub(crate) fn check(file: &Source, sources: &[Source]) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut rows = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        match line.strip_prefix("| ").and_then(|row| row.split(" | ").next()) {
            None => rows.clear(),
            Some(thing) if !thing.starts_with('|') && rows.contains(&thing) => {
                broken.push(file.broken(number + 1, format!("{thing} has a row already")));
            }
            Some(thing) => rows.push(thing),
        }
        for quoted in line.split('`').skip(1).step_by(2) {
            let path = FOLDERS.iter().any(|folder| quoted.starts_with(folder))
                && !quoted.contains([' ', '*', '{', '<']);
            if path && !root().join(quoted).exists() {
                broken.push(file.broken(number + 1, format!("there is no {quoted}")));
            }
            let is_name =
                quoted.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            let written = |source: &Source| source.text.contains(&format!("fn {quoted}("));
            if is_name && quoted.matches('_').count() >= 3 && !sources.iter().any(written) {
                broken.push(file.broken(number + 1, format!("there is no test {quoted}")));
            }
        }
    }
    broken
}

/// Each of `files` must be named by the text of the tests, with its folder or, as a whole text, without.
pub(crate) fn check_nginx(files: &[String], tests: &str) -> Vec<Broken> {
    let alone = |file: &str| format!("\"{}\"", file.rsplit('/').next().unwrap_or(file));
    let unused = files.iter().filter(|file| !tests.contains(file.as_str()) && !tests.contains(&alone(file)));
    let rule = "no test of tests/server or tests/django names this file: what we ship, we run";
    unused.map(|file| Broken { path: file.clone(), line: 1, rule: rule.into() }).collect()
}

#[test]
fn what_does_not_exist_is_found() {
    let made_up = |text| found(|file| check(file, &[]), "README.md", text);
    assert_eq!(made_up("a\n`src/nowhere.rs`"), ["2: there is no src/nowhere.rs"]);
    assert_eq!(made_up("`a_test_that_is_not`"), ["1: there is no test a_test_that_is_not"]);
    assert_eq!(made_up("`src/lib.rs` `src/wire/` `src` `tests/server/*.rs` `max_rows` src/x.rs"), [""; 0]);
    let table = "| a | b |\n|---|---|\n| `a` | 1 |\n| `b` | 2 |\n| `a` | 3 |\n\n| `a` | 4 |";
    assert_eq!(made_up(table), ["5: `a` has a row already"]);
    let test = Source { path: "x.rs".into(), text: "fn a_test_that_is() {}".into() };
    assert_eq!(
        found(
            |file| check(file, &[Source { path: "x".into(), text: test.text.clone() }]),
            "x.md",
            "`a_test_that_is`"
        ),
        [""; 0]
    );
}

#[test]
fn a_configuration_that_no_test_uses_is_found() {
    let files = ["nginx/a.conf", "nginx/b.conf", "nginx/c.conf"].map(str::to_owned);
    let broken = check_nginx(&files, "source(\"nginx/a.conf\"); (\"c.conf\", Wire::Http); // b.conf");
    assert_eq!(broken.len(), 1);
    assert!(broken[0].to_string().starts_with("  nginx/b.conf:1: no test"));
}
