//! Files of the house, and Rust as tokens with their lines: comments and texts are out of the way, so that only what is
//! really named counts.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// A rule that is broken, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) rule: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}:{}: {}", self.path, self.line, self.rule)
    }
}

/// A file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A token; groups are flattened, their delimiters tokens of their own.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// The `mod name { }` that it stands in.
    pub(crate) modules: Vec<String>,
}

/// `a::b::c` as it would be without braces: `a::{b, c::d}` are two.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    /// What `use` makes its name here.
    pub(crate) imported: Option<String>,
    pub(crate) line: usize,
    pub(crate) modules: Vec<String>,
}

impl Source {
    pub(crate) fn broken(&self, line: usize, rule: impl Into<String>) -> Broken {
        Broken { path: self.path.clone(), line, rule: rule.into() }
    }

    pub(crate) fn tokens(&self) -> Vec<Token> {
        let stream: TokenStream = self.text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.path));
        let mut tokens = Vec::new();
        flatten(stream, &mut Vec::new(), &mut tokens);
        tokens
    }

    pub(crate) fn paths(&self) -> Vec<Named> {
        let tokens = self.tokens();
        let mut named = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            if !is_name(&tokens[at].text) {
                at += 1;
                continue;
            }
            let imported = tokens[..at]
                .iter()
                .rev()
                .find(|before| before.text != ":")
                .is_some_and(|it| it.text == "use");
            let from = named.len();
            at = path(&tokens, at, &[], &mut named);
            if !imported {
                named[from..].iter_mut().for_each(|path| path.imported = None);
            }
        }
        named
    }
}

fn flatten(stream: TokenStream, modules: &mut Vec<String>, tokens: &mut Vec<Token>) {
    for tree in stream {
        let mut push = |text: String, line| tokens.push(Token { text, line, modules: modules.clone() });
        let line = tree.span().start().line;
        let TokenTree::Group(group) = tree else {
            push(tree.to_string(), line);
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::None => ("", ""),
        };
        push(open.into(), line);
        let module = match &tokens[..] {
            [.., keyword, name, _] if open == "{" && keyword.text == "mod" => Some(name.text.clone()),
            _ => None,
        };
        let depth = modules.len();
        modules.extend(module);
        flatten(group.stream(), modules, tokens);
        modules.truncate(depth);
        tokens.push(Token {
            text: close.into(),
            line: group.span_close().start().line,
            modules: modules.clone(),
        });
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn is(tokens: &[Token], at: usize, texts: &[&str]) -> bool {
    texts
        .iter()
        .enumerate()
        .all(|(more, text)| tokens.get(at + more).is_some_and(|token| token.text == *text))
}

/// Reads the path at `at`, and gives the place after it.
fn path(tokens: &[Token], mut at: usize, prefix: &[String], named: &mut Vec<Named>) -> usize {
    let mut segments = prefix.to_vec();
    let (line, modules) = (tokens[at].line, tokens[at].modules.clone());
    loop {
        if is(tokens, at, &["{"]) {
            at += 1;
            while !is(tokens, at, &["}"]) {
                at = if is_name(&tokens[at].text) { path(tokens, at, &segments, named) } else { at + 1 };
            }
            return at + 1;
        }
        segments.push(tokens[at].text.clone());
        at += 1;
        let goes_on = |token: &Token| is_name(&token.text) || token.text == "{" || token.text == "*";
        if !is(tokens, at, &[":", ":"]) || !tokens.get(at + 2).is_some_and(goes_on) {
            break;
        }
        at += 2;
    }
    let mut imported = segments.last().cloned();
    if is(tokens, at, &["as"]) {
        imported = tokens.get(at + 1).map(|alias| alias.text.clone());
        at += 2;
    }
    named.push(Named { segments, imported, line, modules });
    at
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below `folder`, from the root; what is hidden, built or data is left out.
pub(crate) fn list(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(root().join(&folder)).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let name = path.to_str().unwrap().to_owned();
            let left_out = ["target", "tests/data", "fuzz/corpus"].contains(&&*name)
                || entry.file_name().to_str().unwrap().starts_with(['.', '_']);
            match entry.file_type().unwrap() {
                _ if left_out => {}
                kind if kind.is_dir() => folders.push(path),
                _ => files.push(name),
            }
        }
    }
    files.sort();
    files
}

/// The files of these endings.
pub(crate) fn house(endings: &[&str]) -> Vec<Source> {
    let wanted = |path: &String| endings.contains(&path.rsplit(['.', '/']).next().unwrap_or_default());
    let files: Vec<Source> =
        list("").into_iter().filter(wanted).map(|path| Source { text: read(&path), path }).collect();
    assert!(!files.is_empty(), "there are no files with {endings:?}");
    files
}

/// What `check` finds in a made-up file, as `line: rule`.
pub(crate) fn found(check: impl Fn(&Source) -> Vec<Broken>, path: &str, text: &str) -> Vec<String> {
    let source = Source { path: path.into(), text: text.into() };
    check(&source).iter().map(|broken| format!("{}: {}", broken.line, broken.rule)).collect()
}

#[test]
fn paths_are_read_without_their_braces() {
    let text = "// a::b\nuse a::{self, b::{C as D, e},\n f::*};\nfn g(h: i::J<k::L>) { \"m::n\"; mod o { p::q::<r::S>() } }";
    let source = Source { path: "x.rs".into(), text: text.into() };
    let paths: Vec<String> =
        source.paths().iter().map(|path| format!("{} {}", path.line, path.segments.join("::"))).collect();
    for expected in
        ["2 a::self", "2 a::b::C", "2 a::b::e", "3 a::f::*", "4 i::J", "4 k::L", "4 p::q", "4 r::S"]
    {
        assert!(paths.iter().any(|path| path == expected), "{expected}: {paths:?}");
    }
    assert!(
        !paths.iter().any(|path| path.contains('m') && path.contains("::n") || path.contains('D')),
        "{paths:?}"
    );
    let inner: Vec<_> = source.paths().into_iter().filter(|path| path.modules == ["o"]).collect();
    assert_eq!(inner.len(), 2);
}
