//! What a client reads: the head of a response, by uwsgi (`HTTP/1.1 200 OK`) or FastCGI (`Status: 200 OK`).
//!
//! Read as nginx reads it: a head without any status is 200, or 302 if it has a Location.

use crate::gateway::{Error, Limits};
use http::{HeaderName, HeaderValue, StatusCode, header, response};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};

/// Parses the head at the front of `input` and says where the body starts, or `None` while more is needed.
///
/// # Errors
/// [`Error::ResponseInvalid`] where this is no head; [`Error::HeadTooLarge`] and [`Error::TooManyVars`] where it goes
/// over `limits`.
pub fn response(input: &[u8], limits: &Limits) -> Result<Option<(response::Parts, usize)>, Error> {
    const LINE: &[u8] = b"HTTP/";
    let mut headers = vec![EMPTY_HEADER; limits.vars];
    let (code, headers, end) = if input.starts_with(LINE) {
        let mut head = httparse::Response::new(&mut headers);
        let status = ParserConfig::default().parse_response(&mut head, input);
        let Some(end) = complete(status, input, limits)? else { return Ok(None) };
        (head.code, &*head.headers, end)
    } else if LINE.starts_with(input) {
        return Ok(None);
    } else {
        let status = httparse::parse_headers(input, &mut headers);
        let Some((end, headers)) = complete(status, input, limits)? else { return Ok(None) };
        (None, headers, end)
    };
    if end > limits.head {
        return Err(Error::HeadTooLarge(end, limits.head));
    }
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = status(code, headers)?;
    for Header { name, value } in headers {
        if code.is_none() && name.eq_ignore_ascii_case("status") {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::ResponseInvalid)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Error::ResponseInvalid)?;
        parts.headers.append(name, value);
    }
    Ok(Some((parts, end)))
}

fn complete<T>(parsed: httparse::Result<T>, input: &[u8], limits: &Limits) -> Result<Option<T>, Error> {
    match parsed {
        Ok(Status::Complete(end)) => Ok(Some(end)),
        Ok(Status::Partial) if input.len() > limits.head => {
            Err(Error::HeadTooLarge(input.len(), limits.head))
        }
        Ok(Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(Error::TooManyVars(limits.vars)),
        Err(_) => Err(Error::ResponseInvalid),
    }
}

fn status(code: Option<u16>, headers: &[Header<'_>]) -> Result<StatusCode, Error> {
    let find = |wanted: &str| headers.iter().find(|header| header.name.eq_ignore_ascii_case(wanted));
    match (code, find("status"), find(header::LOCATION.as_str())) {
        (Some(code), ..) => StatusCode::from_u16(code).ok(),
        (None, Some(status), _) => status.value.get(..3).and_then(|code| StatusCode::from_bytes(code).ok()),
        (None, None, Some(_)) => Some(StatusCode::FOUND),
        (None, None, None) => Some(StatusCode::OK),
    }
    .ok_or(Error::ResponseInvalid)
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
