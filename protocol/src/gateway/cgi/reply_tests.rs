//! Heads as servers write them, whole and cut.

use super::*;
use crate::gateway::cgi::{StatusLine, response_head};
use bytes::BytesMut;

const LIMITS: Limits = Limits { head: 200, body: 0, vars: 3 };

/// Parses `input`, checking that no part of its head decides anything else.
fn check(input: &[u8]) -> Result<Option<(u16, usize, Vec<String>)>, Error> {
    let simple = |input| {
        response(input, &LIMITS).map(|found| {
            found.map(|(parts, end)| {
                let headers =
                    parts.headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
                (parts.status.as_u16(), end, headers.collect())
            })
        })
    };
    let whole = simple(input);
    for cut in 0..input.len() {
        match (simple(&input[..cut]), &whole) {
            (Ok(None), _) => {}
            (early, whole) => assert_eq!(early, *whole, "{}", input[..cut].escape_ascii()),
        }
    }
    whole
}

#[test]
fn both_status_lines_are_read() {
    let read = |head: &str, status: u16, headers: &[&str]| {
        let headers = headers.iter().map(ToString::to_string).collect();
        assert_eq!(
            check(format!("{head}body").as_bytes()),
            Ok(Some((status, head.len(), headers))),
            "{head}"
        );
    };
    read("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 200, &["a=b"]);
    read("HTTP/1.0 404 \r\n\r\n", 404, &[]);
    read("HTTP/1.1 200 OK\r\nStatus: 404\r\n\r\n", 200, &["status=404"]);
    read("Status: 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n", 503, &["retry-after=1"]);
    read("A: b\nstatus: 418\n\n", 418, &["a=b"]);
    read("Location: /x\r\n\r\n", 302, &["location=/x"]);
    read("A: b\r\nA: c\r\n\r\n", 200, &["a=b", "a=c"]);
    read("\r\n", 200, &[]);
}

#[test]
fn what_is_no_head_is_refused() {
    for bad in [
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "Status: OK\r\n\r\n",
        "Status: 5\r\n\r\n",
        "A b: c\r\n\r\n",
        "A: b\0\r\n\r\n",
        "hello\r\n\r\n",
    ] {
        assert_eq!(check(bad.as_bytes()), Err(Error::ResponseInvalid), "{bad:?}");
    }
    let many = "A: b\r\n".repeat(4) + "\r\n";
    assert_eq!(check(many.as_bytes()), Err(Error::TooManyVars(3)));
}

#[test]
fn a_head_has_a_limit_whether_complete_or_not() {
    let long = format!("A: {}", "b".repeat(300));
    assert!(matches!(response(long.as_bytes(), &LIMITS), Err(Error::HeadTooLarge(..))));
    assert!(matches!(response((long + "\r\n\r\n").as_bytes(), &LIMITS), Err(Error::HeadTooLarge(..))));
}

#[test]
fn what_is_written_is_read() {
    let parts = http::Response::builder().status(429).header("x-a", "1").body(()).unwrap().into_parts().0;
    for line in [StatusLine::Http, StatusLine::Cgi] {
        let mut head = BytesMut::new();
        response_head(line, &parts, 9, &mut head);
        let (read, end) = response(&head, &LIMITS).unwrap().unwrap();
        assert_eq!((read.status, end), (parts.status, head.len()));
        assert_eq!(
            (&read.headers["x-a"], &read.headers["content-length"]),
            (&"1".parse().unwrap(), &9.into())
        );
    }
}
