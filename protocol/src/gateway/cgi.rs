//! CGI variables to an HTTP request, and an HTTP response to a head: what uwsgi and FastCGI have in common (RFC 3875).
//!
//! Variables are data and nothing else: `UWSGI_*` has no meaning here, no path is a file's, and `HTTP_PROXY` (httpoxy)
//! is dropped. The same request gives the same URI whichever front end sent it.

use super::{Error, Limits};
use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request, response, uri::PathAndQuery,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use std::borrow::Cow;

mod reply;

pub use reply::response;

/// All but `/` and the characters of RFC 3986's `pchar`.
const NOT_IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// A request without its body.
#[derive(Debug)]
pub struct Request {
    /// Method, URI and headers; [`RemoteAddr`] among the extensions if the front end sent it.
    pub parts: request::Parts,
    /// Length of the body in bytes as announced; `None` where `CONTENT_LENGTH` is absent or empty.
    pub length: Option<u64>,
    /// Whether the client sent its body in chunks. The front end undid them, and may not know the length yet.
    pub chunked: bool,
}

/// Who the front end says the client is: for the log, never for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteAddr(pub Bytes);

/// The variables that become something other than a header.
#[derive(Default)]
struct Meta<'a> {
    method: Option<&'a [u8]>,
    path_info: &'a [u8],
    script_name: &'a [u8],
    request_uri: &'a [u8],
    query: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    content_type: &'a [u8],
    remote_addr: &'a [u8],
    chunked: bool,
}

/// Builds the request that the variables describe.
///
/// Of a variable given twice the last stands; differing `REQUEST_METHOD` or `CONTENT_LENGTH` are refused, and headers are
/// joined, since nginx before 1.23 sends repeated headers as repeated variables.
///
/// # Errors
/// The first thing wrong with the variables.
pub fn request<'a>(
    vars: impl Iterator<Item = Result<(&'a [u8], &'a [u8]), Error>>,
    limits: &Limits,
) -> Result<Request, Error> {
    let mut meta = Meta::default();
    let mut headers = HeaderMap::with_capacity(16);
    for (count, var) in vars.enumerate() {
        let (name, value) = var?;
        if count == limits.vars {
            return Err(Error::TooManyVars(limits.vars));
        }
        match name {
            b"" => return Err(Error::EmptyName),
            b"REQUEST_METHOD" => once(&mut meta.method, value, "REQUEST_METHOD")?,
            b"CONTENT_LENGTH" => once(&mut meta.length, value, "CONTENT_LENGTH")?,
            b"PATH_INFO" => meta.path_info = value,
            b"SCRIPT_NAME" => meta.script_name = value,
            b"REQUEST_URI" => meta.request_uri = value,
            b"QUERY_STRING" => meta.query = Some(value),
            b"CONTENT_TYPE" => meta.content_type = value,
            b"REMOTE_ADDR" => meta.remote_addr = value,
            _ => {
                if let Some(name) = name.strip_prefix(b"HTTP_") {
                    let name = header_name(name)?;
                    meta.chunked |= name == header::TRANSFER_ENCODING && !value.is_empty();
                    if !is_dropped(&name) {
                        append(&mut headers, name, value)?;
                    }
                }
            }
        }
    }
    finish(meta, headers, limits)
}

fn finish(meta: Meta<'_>, mut headers: HeaderMap, limits: &Limits) -> Result<Request, Error> {
    let method = meta.method.filter(|method| !method.is_empty()).ok_or(Error::MethodMissing)?;
    let length = meta.length.filter(|length| !length.is_empty()).map(content_length).transpose()?;
    if let Some(length) = length {
        if length > limits.body {
            return Err(Error::BodyTooLarge(length, limits.body));
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if !meta.content_type.is_empty() {
        headers.insert(header::CONTENT_TYPE, header_value(meta.content_type)?);
    }
    let mut parts = http::Request::new(()).into_parts().0;
    parts.method = Method::from_bytes(method).map_err(|_| Error::MethodInvalid)?;
    parts.uri = uri(&meta)?;
    parts.headers = headers;
    if !meta.remote_addr.is_empty() {
        parts.extensions.insert(RemoteAddr(Bytes::copy_from_slice(meta.remote_addr)));
    }
    Ok(Request { parts, length, chunked: meta.chunked })
}

fn once<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8], name: &'static str) -> Result<(), Error> {
    match slot {
        Some(first) if *first != value => Err(Error::Conflict(name)),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

/// Parses a length strictly: digits, nothing else, no overflow.
fn content_length(value: &[u8]) -> Result<u64, Error> {
    value.iter().try_fold(0u64, |length, &byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9).ok_or(Error::LengthInvalid)?;
        length.checked_mul(10).and_then(|length| length.checked_add(digit.into())).ok_or(Error::LengthInvalid)
    })
}

/// `X_REQUEST_ID` to `x-request-id`, in whatever case.
fn header_name(cgi: &[u8]) -> Result<HeaderName, Error> {
    let mut buffer = [0; 64];
    let mut long;
    let name = if let Some(name) = buffer.get_mut(..cgi.len()) {
        name.copy_from_slice(cgi);
        name
    } else {
        long = cgi.to_vec();
        &mut long[..]
    };
    for byte in name.iter_mut().filter(|byte| **byte == b'_') {
        *byte = b'-';
    }
    HeaderName::from_bytes(name).map_err(|_| Error::HeaderInvalid)
}

/// What concerns the front end's own connection, what has a CGI variable of its own, and `Proxy`, which CGI programs
/// mistake for a setting. Asked of the header's name, since more than one variable gives the same.
fn is_dropped(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONTENT_LENGTH
            | header::CONTENT_TYPE
            | header::CONNECTION
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
    ) || matches!(name.as_str(), "proxy" | "keep-alive" | "proxy-connection")
}

fn header_value(value: &[u8]) -> Result<HeaderValue, Error> {
    HeaderValue::from_bytes(value).map_err(|_| Error::HeaderInvalid)
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) -> Result<(), Error> {
    let value = header_value(value)?;
    match headers.entry(name) {
        header::Entry::Vacant(entry) => {
            entry.insert(value);
        }
        header::Entry::Occupied(mut entry) => {
            let separator: &[u8] = if entry.key() == header::COOKIE { b"; " } else { b", " };
            let joined = [entry.get().as_bytes(), separator, value.as_bytes()].concat();
            entry.insert(header_value(&joined)?);
        }
    }
    Ok(())
}

/// `PATH_INFO`, else `SCRIPT_NAME` (lighttpd, `HAProxy`), else the path of `REQUEST_URI`.
fn uri(meta: &Meta<'_>) -> Result<Uri, Error> {
    let (raw_path, raw_query) = split_query(meta.request_uri);
    let mut target = BytesMut::with_capacity(meta.path_info.len() + 64);
    if let Some(decoded) = [meta.path_info, meta.script_name].into_iter().find(|path| !path.is_empty()) {
        encode_path(decoded, &mut target);
    } else {
        target.put_slice(&canonical_path(raw_path));
    }
    if !target.starts_with(b"/") {
        let path = target.split();
        target.put_u8(b'/');
        target.put_slice(&path);
    }
    // What follows a '#' is no part of a request target; `http` would leave an empty query of "?#".
    let query = meta.query.or(raw_query).and_then(|query| query.split(|&byte| byte == b'#').next());
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        target.put_u8(b'?');
        target.put_slice(query);
    }
    let path = PathAndQuery::from_maybe_shared(target.freeze()).map_err(|_| Error::UriInvalid)?;
    Ok(Uri::from(path))
}

fn split_query(uri: &[u8]) -> (&[u8], Option<&[u8]>) {
    match uri.iter().position(|&byte| byte == b'?') {
        Some(at) => (&uri[..at], Some(&uri[at + 1..])),
        None => (uri, None),
    }
}

/// One spelling for each path: what need not be percent-encoded is not, everything else is.
///
/// For the path of an HTTP request line, so that it equals what uwsgi and FastCGI give for the same request.
#[must_use]
pub fn canonical_path(raw: &[u8]) -> Bytes {
    let mut path = BytesMut::with_capacity(raw.len());
    encode_path(&Cow::from(percent_decode(raw)), &mut path);
    path.freeze()
}

fn encode_path(decoded: &[u8], output: &mut BytesMut) {
    for piece in percent_encode(decoded, NOT_IN_PATH) {
        output.put_slice(piece.as_bytes());
    }
}

/// How the first line of a head is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusLine {
    /// `HTTP/1.1 200 OK`: uwsgi. Apache answers 502 to anything else.
    Http,
    /// `Status: 200 OK`: FastCGI. nginx takes an HTTP line there for nothing and answers 200.
    Cgi,
}

/// Appends the head of a response with a body of `length` bytes, with exactly one Content-Length and nothing that
/// concerns a connection: neither protocol has chunks or keep-alive of its own.
///
/// Values need no check for line feeds here: `HeaderValue` cannot hold one.
pub fn response_head(line: StatusLine, parts: &response::Parts, length: u64, output: &mut BytesMut) {
    output.put_slice(match line {
        StatusLine::Http => b"HTTP/1.1 ",
        StatusLine::Cgi => b"Status: ",
    });
    output.put_slice(parts.status.as_str().as_bytes());
    output.put_u8(b' ');
    output.put_slice(parts.status.canonical_reason().unwrap_or("Unknown").as_bytes());
    output.put_slice(b"\r\n");
    for (name, value) in &parts.headers {
        if !matches!(*name, header::CONTENT_LENGTH | header::CONNECTION | header::TRANSFER_ENCODING) {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                output.put_slice(part);
            }
        }
    }
    if has_length(parts.status) {
        output.put_slice(b"content-length: ");
        output.put_slice(itoa::Buffer::new().format(length).as_bytes());
        output.put_slice(b"\r\n");
    }
    output.put_slice(b"\r\n");
}

/// Whether an answer of this status has a body, and so a Content-Length.
#[must_use]
pub fn has_length(status: StatusCode) -> bool {
    status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

#[cfg(test)]
#[path = "cgi_tests.rs"]
mod tests;
