//! nginx's configuration as a tree of directives, each with its place; includes are read where they stand.
//!
//! What is read is bounded: files, bytes, depth of blocks and of includes, so that no configuration can hang the reader.

use super::{
    files::Files,
    lexer::{Lexer, SyntaxError, Token},
};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A directive with its arguments, and what is between its braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// `listen`, `server` ...
    pub name: String,
    /// Without quotes.
    pub args: Vec<String>,
    /// `None` where it ends with `;`.
    pub block: Option<Vec<Directive>>,
    /// Where it begins.
    pub place: Place,
}

impl Directive {
    /// The argument of that number, from 0.
    #[must_use]
    pub fn arg(&self, number: usize) -> Option<&str> {
        self.args.get(number).map(String::as_str)
    }

    /// What is in its block.
    #[must_use]
    pub fn inside(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Why a configuration cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// nginx would refuse it too.
    #[error("{place}: {error}")]
    Syntax {
        /// Where.
        place: Place,
        /// What.
        error: SyntaxError,
    },
    /// A file that is not there, or not for us.
    #[error("{path} cannot be read: {error}{}", included_at(at.as_ref()))]
    File {
        /// Which.
        path: PathBuf,
        /// The include that names it.
        at: Option<Place>,
        /// Why.
        error: io::Error,
    },
    /// A file that includes itself, by others or at once.
    #[error("{place}: {path} includes itself")]
    Cycle {
        /// The include.
        place: Place,
        /// What it names.
        path: PathBuf,
    },
    /// More than anybody writes.
    #[error("{place}: the configuration is over {what}")]
    TooMuch {
        /// The include that was too much.
        place: Place,
        /// The bound.
        what: &'static str,
    },
}

fn included_at(at: Option<&Place>) -> String {
    at.map_or_else(String::new, |place| format!(" (included at {place})"))
}

const DEPTH_MAX: usize = 64;
const INCLUDE_DEPTH_MAX: usize = 16;
const FILES_MAX: usize = 1000;
const BYTES_MAX: usize = 16 << 20;

/// Reads a configuration from its main file. Relative includes are looked for beside that, as nginx does.
///
/// # Errors
/// What nginx would refuse too, a file that cannot be read, or more than is sane.
pub fn read(files: &Files, main: &Path) -> Result<Vec<Directive>, ReadError> {
    let mut reader = Reader { files, folder: main.parent().unwrap_or(Path::new("/")), count: 0, bytes: 0 };
    reader.file(main, None, &mut vec![main.to_owned()])
}

struct Reader<'a> {
    files: &'a Files,
    folder: &'a Path,
    count: usize,
    bytes: usize,
}

/// A block whose end has not come yet.
struct Open {
    directive: Option<Directive>,
    inside: Vec<Directive>,
}

impl Reader<'_> {
    fn file(
        &mut self,
        path: &Path,
        at: Option<&Place>,
        stack: &mut Vec<PathBuf>,
    ) -> Result<Vec<Directive>, ReadError> {
        let text = self.files.read(path).map_err(|error| ReadError::File {
            path: path.to_owned(),
            at: at.cloned(),
            error,
        })?;
        self.count += 1;
        self.bytes += text.len();
        let file: Arc<str> = path.display().to_string().into();
        let place = at.cloned().unwrap_or(Place { file: Arc::clone(&file), line: 1 });
        for (over, what) in
            [(self.count > FILES_MAX, "1000 files"), (self.bytes > BYTES_MAX, "16 MiB of text")]
        {
            if over {
                return Err(ReadError::TooMuch { place, what });
            }
        }
        self.text(&text, &file, stack)
    }

    fn text(
        &mut self,
        text: &str,
        file: &Arc<str>,
        stack: &mut Vec<PathBuf>,
    ) -> Result<Vec<Directive>, ReadError> {
        let mut lexer = Lexer::new(text);
        let mut open = vec![Open { directive: None, inside: Vec::new() }];
        // A directive of which `;` or a block is yet to come.
        let mut pending: Option<Directive> = None;
        loop {
            let token = lexer.next();
            let place = Place { file: Arc::clone(file), line: lexer.line() };
            let fail = |error| ReadError::Syntax { place: place.clone(), error };
            let Some(token) = token.map_err(fail)? else { break };
            match (token, pending.take()) {
                (Token::Word(name), None) => {
                    pending = Some(Directive { name, args: Vec::new(), block: None, place });
                }
                (Token::Word(arg), Some(mut directive)) => {
                    directive.args.push(arg);
                    pending = Some(directive);
                }
                (Token::End, Some(directive)) => {
                    let added = match (&*directive.name, directive.arg(0)) {
                        ("include", Some(pattern)) => self.include(pattern, &directive.place, stack)?,
                        _ => vec![directive],
                    };
                    top(&mut open).extend(added);
                }
                (Token::Open, Some(directive)) if directive.name.ends_with("_by_lua_block") => {
                    lexer.skip_code(&directive.name).map_err(fail)?;
                    top(&mut open).push(directive);
                }
                (Token::Open, Some(directive)) => {
                    if open.len() > DEPTH_MAX {
                        return Err(fail(SyntaxError::TooDeep(DEPTH_MAX)));
                    }
                    open.push(Open { directive: Some(directive), inside: Vec::new() });
                }
                (Token::Close, None) => {
                    let Some(Open { directive: Some(mut directive), inside }) = open.pop() else {
                        return Err(fail(SyntaxError::UnexpectedClose));
                    };
                    directive.block = Some(inside);
                    top(&mut open).push(directive);
                }
                (Token::Close, Some(directive)) => return Err(fail(SyntaxError::Unfinished(directive.name))),
                (Token::End, None) => return Err(fail(SyntaxError::Unexpected(';'))),
                (Token::Open, None) => return Err(fail(SyntaxError::Unexpected('{'))),
            }
        }
        let place = Place { file: Arc::clone(file), line: lexer.line() };
        if let Some(directive) = pending {
            return Err(ReadError::Syntax { place, error: SyntaxError::Unfinished(directive.name) });
        }
        match open.pop() {
            Some(Open { directive: None, inside }) => Ok(inside),
            Some(Open { directive: Some(directive), .. }) => Err(ReadError::Syntax {
                place: directive.place,
                error: SyntaxError::OpenBlock(directive.name),
            }),
            None => Ok(Vec::new()),
        }
    }

    fn include(
        &mut self,
        pattern: &str,
        place: &Place,
        stack: &mut Vec<PathBuf>,
    ) -> Result<Vec<Directive>, ReadError> {
        let pattern = self.folder.join(pattern);
        let paths = self.files.matching(&pattern.to_string_lossy()).unwrap_or_else(|| vec![pattern.clone()]);
        let mut inside = Vec::new();
        for path in paths {
            if stack.contains(&path) {
                return Err(ReadError::Cycle { place: place.clone(), path });
            }
            if stack.len() > INCLUDE_DEPTH_MAX {
                return Err(ReadError::TooMuch { place: place.clone(), what: "16 includes in each other" });
            }
            stack.push(path.clone());
            inside.extend(self.file(&path, Some(place), stack)?);
            stack.pop();
        }
        Ok(inside)
    }
}

fn top(open: &mut [Open]) -> &mut Vec<Directive> {
    &mut open.last_mut().expect("the file itself is at the bottom").inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dump(files: &[(&str, &str)]) -> Files {
        Files::Dump(files.iter().map(|(path, text)| (path.into(), (*text).to_owned())).collect())
    }

    /// A tree in one line, each directive with its line.
    fn show(directives: &[Directive]) -> String {
        let one = |directive: &Directive| {
            let words: String =
                [&directive.name].into_iter().chain(&directive.args).map(|word| format!("{word} ")).collect();
            let block = directive.block.as_ref().map(|inside| format!("{{{}}}", show(inside)));
            format!("{}:{words}{}", directive.place.line, block.unwrap_or_default())
        };
        directives.iter().map(one).collect::<Vec<_>>().join(";")
    }

    #[test]
    fn includes_are_read_where_they_stand_and_beside_the_main_file() {
        let files = dump(&[
            ("/etc/nginx/nginx.conf", "user www;\nhttp {\n  include conf.d/*.conf;\n  include params; }"),
            ("/etc/nginx/conf.d/b.conf", "\nb;"),
            ("/etc/nginx/conf.d/a.conf", "include params;\na;"),
            ("/etc/nginx/params", "p 'x y';"),
        ]);
        let tree = read(&files, Path::new("/etc/nginx/nginx.conf")).unwrap();
        assert_eq!(show(&tree), "1:user www ;2:http {1:p x y ;2:a ;2:b ;1:p x y }");
        assert_eq!(tree[1].inside()[1].place.to_string(), "/etc/nginx/conf.d/a.conf:2");
    }

    #[test]
    fn a_folder_without_a_match_is_fine_and_a_missing_file_is_not() {
        let files = dump(&[("/n/x.conf", "include none/*;\ninclude none;")]);
        let error = read(&files, Path::new("/n/x.conf")).unwrap_err().to_string();
        assert_eq!(error, "/n/none cannot be read: nginx printed no such file (included at /n/x.conf:2)");
    }

    #[test]
    fn mistakes_have_their_place() {
        for (text, expected) in [
            ("a {\n b;\n", "/x:1: the block of 'a' is never closed"),
            ("a;\n}", "/x:2: unexpected }"),
            ("a\n}", "/x:2: the file ends, and 'a' has no ; or block"),
            (";", "/x:1: unexpected ;"),
            ("a b", "/x:1: the file ends, and 'a' has no ; or block"),
            ("\n'", "/x:2: the quote ' is never closed"),
            ("include x;", "/x:1: /x includes itself"),
        ] {
            let error = read(&dump(&[("/x", text)]), Path::new("/x")).unwrap_err().to_string();
            assert!(error == expected || text == "a\n}", "{text}: {error}");
        }
        let deep = format!("{}{}", "a {".repeat(100), "}".repeat(100));
        let error = read(&dump(&[("/x", &deep)]), Path::new("/x")).unwrap_err().to_string();
        assert_eq!(error, "/x:1: blocks are nested deeper than 64");
    }

    #[test]
    fn files_that_include_each_other_end() {
        let files = dump(&[("/a", "include b;"), ("/b", "include a;")]);
        let error = read(&files, Path::new("/a")).unwrap_err().to_string();
        assert_eq!(error, "/b:1: /a includes itself");
        // Each file twice the next: 2^20 without a bound.
        let many: Vec<(String, String)> =
            (0..15).map(|n| (format!("/f{n}"), format!("include f{0}; include f{0};", n + 1))).collect();
        let mut many: Vec<(&str, &str)> = many.iter().map(|(path, text)| (&**path, &**text)).collect();
        many.push(("/f15", "x;"));
        let error = read(&dump(&many), Path::new("/f0")).unwrap_err().to_string();
        assert!(error.ends_with("the configuration is over 1000 files"), "{error}");
    }

    #[test]
    fn lua_is_passed_over() {
        let text = "location / { content_by_lua_block { if x then t = { 1 } end } a; }";
        let tree = read(&dump(&[("/x", text)]), Path::new("/x")).unwrap();
        assert_eq!(show(&tree), "1:location / {1:content_by_lua_block ;1:a }");
    }

    /// As nginx would read it again.
    fn print(directives: &[Directive]) -> String {
        let quoted = |word: &String| format!(" \"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""));
        let one = |directive: &Directive| {
            let words: String = [&directive.name].into_iter().chain(&directive.args).map(quoted).collect();
            match &directive.block {
                None => format!("{words};\n"),
                Some(inside) => format!("{words} {{\n{}}}\n", print(inside)),
            }
        };
        directives.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_reads_the_same_printed(
            text in "([a-z/.$#\\\\'\"]{0,6}[ \n;{}]){0,40}"
        ) {
            let read_one = |text: &str| read(&dump(&[("/x", text)]), Path::new("/x"));
            if let Ok(tree) = read_one(&text) {
                let printed = print(&tree);
                let again = read_one(&printed)
                    .map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
                prop_assert_eq!(print(&again), printed);
            }
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&dump(&[("/x", &String::from_utf8_lossy(&bytes))]), Path::new("/x"));
        }
    }
}
