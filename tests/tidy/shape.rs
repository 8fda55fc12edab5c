//! How files look: their length, first lines and names.

use super::source::{Broken, Source, found};

/// Longer files are several.
const LINES: usize = 500;

/// Names that say nothing.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "manager", "inner", "core", "base"];

/// In pieces, so that this file may name them.
const WORDS: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
    concat!("X", "XX"),
    concat!("FIX", "ME"),
];

pub(crate) fn check(file: &Source) -> Vec<Broken> {
    let mut broken = Vec::new();
    if !file.text.starts_with("//! ") {
        broken.push(file.broken(1, "a file opens with //! and what it is"));
    }
    let lines = file.text.lines().count();
    if lines > LINES {
        broken.push(file.broken(lines, format!("{lines} lines are over {LINES}: this is several files")));
    }
    broken
}

pub(crate) fn check_names(file: &Source) -> Vec<Broken> {
    let mut broken = Vec::new();
    for part in file.path.trim_end_matches(".rs").split(['/', '_']) {
        if EMPTY_NAMES.contains(&part) {
            broken.push(
                file.broken(1, format!("'{part}' is no name for a file or folder: what does it hold?")),
            );
        }
    }
    let tokens = file.tokens();
    let getters = tokens.windows(2).filter(|pair| pair[0].text == "fn" && pair[1].text.starts_with("get_"));
    broken.extend(
        getters.map(|pair| file.broken(pair[1].line, format!("'fn {}': without get_", pair[1].text))),
    );
    broken
}

pub(crate) fn check_words(file: &Source) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for word in WORDS.iter().filter(|word| stands_in(line, word)) {
            broken.push(
                file.broken(number + 1, format!("'{word}' is left for later: do it, or write an issue")),
            );
        }
    }
    broken
}

/// Whether a line has the word, not as a part of a longer one.
fn stands_in(line: &str, word: &str) -> bool {
    let of_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(of_word)
            && (word.ends_with('!') || !line[at + word.len()..].starts_with(of_word))
    })
}

#[test]
fn long_and_silent_files_are_found() {
    let found = |text: &str| found(check, "src/x.rs", text);
    assert_eq!(found("use a::b;\n"), ["1: a file opens with //! and what it is"]);
    assert_eq!(
        found(&format!("//! x\n{}", "\n".repeat(500))),
        ["501: 501 lines are over 500: this is several files"]
    );
    assert_eq!(found(&format!("//! x\n{}", "\n".repeat(499))), [""; 0]);
}

#[test]
fn empty_names_are_found() {
    let found = |path, text| found(check_names, path, text);
    assert_eq!(
        found("src/wire/utils.rs", ""),
        ["1: 'utils' is no name for a file or folder: what does it hold?"]
    );
    assert_eq!(found("src/common/x.rs", "").len(), 1);
    assert_eq!(found("src/pool/queue_helpers.rs", "").len(), 1);
    assert_eq!(found("src/x.rs", "\nfn get_name() {}"), ["2: 'fn get_name': without get_"]);
    assert_eq!(found("src/score.rs", "fn target() { map.get_mut(1) } // fn get_x"), [""; 0]);
}

#[test]
fn words_for_later_are_found() {
    let found = |text: &str| found(check_words, "README.md", text);
    for word in WORDS {
        assert_eq!(found(&format!("a\n{word} b")).len(), 1, "{word}");
        assert_eq!(found(&format!("a{word}b")), [""; 0], "{word}");
    }
}
