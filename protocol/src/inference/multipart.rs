//! `multipart/form-data`, as browsers and `curl -F` send files (RFC 7578, RFC 2046), of which all bytes are there.
//!
//! Parts are slices of the body, not copied, so that nothing grows but a bounded list of them.

use crate::excerpt::excerpt;
use bytes::Bytes;
use httparse::Status;
use memchr::memmem;
use percent_encoding::percent_decode_str;
use std::iter;

/// What stands between parts: at most 70 characters (RFC 2046, section 5.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary(String);

/// One of the things that a form holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The name of its field.
    pub name: String,
    /// The name of its file, which browsers leave empty where none was chosen. Fields that are no files have none.
    pub filename: Option<String>,
    /// Its media type in lower case, without parameters.
    pub content_type: Option<String>,
    /// What it holds.
    pub body: Bytes,
}

/// Why a body is no form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The content type does not say what stands between parts.
    #[error("the content type multipart/form-data needs a boundary of 1 to 70 characters")]
    Boundary,
    /// What should stand between parts does not stand before the first.
    #[error("the form does not begin: there is no line with the boundary that its content type gives")]
    NoBegin,
    /// The last part has no end.
    #[error("the form is truncated: part {0} does not end")]
    Truncated(usize),
    /// There is more of it than is taken.
    #[error("the form has more than {0} parts")]
    TooMany(usize),
    /// Lines before a part that are too long, or too many.
    #[error("the head of part {0} is over the limit of {HEAD} bytes or {HEADERS} lines")]
    HeadTooLarge(usize),
    /// Lines before a part that are no headers.
    #[error("the head of part {0} is not made of headers")]
    Head(usize),
    /// A part that is not one of a form.
    #[error("part {0} has no `Content-Disposition: form-data` with a name")]
    NoName(usize),
    /// Base64 or quoted-printable, which only mail has (RFC 7578, section 4.7).
    #[error("part {} has the Content-Transfer-Encoding '{}': send it as it is", .0, excerpt(.1))]
    TransferEncoding(usize, String),
}

/// Bytes of a part's head.
const HEAD: usize = 8 * 1024;

/// Lines of it.
const HEADERS: usize = 16;

impl Boundary {
    /// The boundary of a form, by its content type; `None` where that is none.
    ///
    /// # Errors
    /// Where there is no boundary.
    pub fn of(content_type: &str) -> Result<Option<Self>, Error> {
        let (media_type, parameters) = split_once(content_type, ';');
        if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Ok(None);
        }
        let boundary = parameter(parameters, "boundary").ok_or(Error::Boundary)?;
        let valid = boundary.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !boundary.ends_with(' ');
        if valid && (1..=70).contains(&boundary.len()) {
            Ok(Some(Self(boundary)))
        } else {
            Err(Error::Boundary)
        }
    }
}

/// Takes a form of at most `max_parts` apart.
///
/// # Errors
/// What is wrong with it, and with which part of it, counted from 1.
pub fn parse(body: &Bytes, boundary: &Boundary, max_parts: usize) -> Result<Vec<Part>, Error> {
    let delimiter = [b"\r\n--", boundary.0.as_bytes()].concat();
    let finder = memmem::Finder::new(&delimiter);
    let next = |from: usize| next(body, from, &finder, delimiter.len());
    // The first need not have a line before it, but any number of lines may be there.
    let mut end = match line_end(body, 0, &delimiter[2..]) {
        Some(end) => end,
        None => next(0).ok_or(Error::NoBegin)?.1,
    };
    let mut parts = Vec::new();
    while let LineEnd::Part(begin) = end {
        let number = parts.len() + 1;
        if number > max_parts {
            return Err(Error::TooMany(max_parts));
        }
        let (head, content) = head(&body[begin..], number)?;
        let content = begin + content;
        // An empty part may end in the line that ends its head.
        let (until, line) = next(content - 2).ok_or(Error::Truncated(number))?;
        parts.push(head.part(body.slice(content.min(until)..until), number)?);
        end = line;
    }
    Ok(parts)
}

/// What comes behind a delimiter.
#[derive(Clone, Copy)]
enum LineEnd {
    /// A part, which begins there.
    Part(usize),
    /// The end of the form.
    Close,
}

/// Where the next delimiter begins, and what comes behind it.
fn next(body: &[u8], from: usize, finder: &memmem::Finder<'_>, length: usize) -> Option<(usize, LineEnd)> {
    let mut found = finder.find_iter(&body[from..]).map(|at| from + at);
    found.find_map(|at| Some((at, line_end(body, at + length, b"")?)))
}

/// What comes behind `begin` at a place, if the line ends there: more would be content that looks alike.
fn line_end(body: &[u8], at: usize, begin: &[u8]) -> Option<LineEnd> {
    let rest = body.get(at..)?.strip_prefix(begin)?;
    if rest.starts_with(b"--") {
        return Some(LineEnd::Close);
    }
    let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest[padding..].starts_with(b"\r\n").then_some(LineEnd::Part(at + begin.len() + padding + 2))
}

/// What the lines before a part say.
#[derive(Default)]
struct Head {
    disposition: String,
    content_type: Option<String>,
    transfer_encoding: Option<String>,
}

/// Reads a part's head, and says where its content begins.
fn head(bytes: &[u8], number: usize) -> Result<(Head, usize), Error> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS];
    let seen = &bytes[..bytes.len().min(HEAD)];
    let (length, lines) = match httparse::parse_headers(seen, &mut lines) {
        Ok(Status::Complete(parsed)) => parsed,
        Ok(Status::Partial) if seen.len() < HEAD => return Err(Error::Truncated(number)),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Error::HeadTooLarge(number));
        }
        Err(_) => return Err(Error::Head(number)),
    };
    // httparse takes a bare line feed too, behind which a boundary would not be at the beginning of a line.
    if !bytes[..length].ends_with(b"\r\n") {
        return Err(Error::Head(number));
    }
    let mut head = Head::default();
    for line in lines {
        let value = String::from_utf8_lossy(line.value).into_owned();
        let is = |name| line.name.eq_ignore_ascii_case(name);
        if is("content-disposition") {
            head.disposition = value;
        } else if is("content-type") {
            head.content_type = Some(split_once(&value, ';').0.trim().to_ascii_lowercase());
        } else if is("content-transfer-encoding") {
            head.transfer_encoding = Some(value);
        }
    }
    Ok((head, length))
}

impl Head {
    fn part(self, body: Bytes, number: usize) -> Result<Part, Error> {
        if let Some(encoding) = self.transfer_encoding {
            let plain = ["7bit", "8bit", "binary"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain));
            if !plain {
                return Err(Error::TransferEncoding(number, encoding));
            }
        }
        let (kind, parameters) = split_once(&self.disposition, ';');
        let name = parameter(parameters, "name").filter(|_| kind.trim().eq_ignore_ascii_case("form-data"));
        let filename = parameter(parameters, "filename").or_else(|| {
            // RFC 7578 forbids this form, and some send it all the same: UTF-8'en'caf%C3%A9.png
            let extended = parameter(parameters, "filename*")?;
            let encoded = extended.rsplit('\'').next().unwrap_or_default();
            Some(percent_decode_str(encoded).decode_utf8_lossy().into_owned())
        });
        let name = name.ok_or(Error::NoName(number))?;
        Ok(Part { name, filename, content_type: self.content_type, body })
    }
}

/// The value of a parameter of a header: `; name=value; name="another value"`.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    let parameters = iter::from_fn(|| {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (key, value) = rest.split_once('=')?;
        let (value, behind) = value_of(value.trim_start());
        rest = behind;
        // What has no value is none of ours.
        Some((key.rsplit(';').next().unwrap_or_default().trim(), value))
    });
    let mut named = parameters.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value)
}

/// A value, and what is behind it. A quoted one may have `\"` in it, but a bare `\` is one: old browsers send whole paths.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = split_once(text, ';');
        return (value.trim_end().to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    (value, "")
}

/// What is before the first `separator`, and what is behind it.
fn split_once(text: &str, separator: char) -> (&str, &str) {
    text.split_once(separator).unwrap_or((text, ""))
}

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
