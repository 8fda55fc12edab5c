//! Variables to requests, responses to heads.

use super::*;

fn build(vars: &[(&str, &[u8])]) -> Result<Request, Error> {
    let vars = vars.iter().map(|(name, value)| Ok((name.as_bytes(), *value)));
    request(vars, &Limits::default())
}

fn post(vars: &[(&str, &str)]) -> Result<Request, Error> {
    let mut all: Vec<(&str, &[u8])> = vec![("REQUEST_METHOD", b"POST"), ("PATH_INFO", b"/p")];
    all.extend(vars.iter().map(|(name, value)| (*name, value.as_bytes())));
    build(&all)
}

#[test]
fn the_path_is_path_info_else_script_name_else_request_uri() {
    let check = |vars: &[(&str, &str)], uri: &str| {
        let mut all = vec![("REQUEST_METHOD", &b"GET"[..])];
        all.extend(vars.iter().map(|(name, value)| (*name, value.as_bytes())));
        assert_eq!(build(&all).unwrap().parts.uri.to_string(), uri, "{vars:?}");
    };
    check(&[("PATH_INFO", "/a"), ("SCRIPT_NAME", "/b"), ("REQUEST_URI", "/c")], "/a");
    check(&[("PATH_INFO", ""), ("SCRIPT_NAME", "/b"), ("REQUEST_URI", "/c")], "/b");
    check(&[("REQUEST_URI", "/c%2Dd?x=%20")], "/c-d?x=%20");
    check(&[("REQUEST_URI", "/c?x=1"), ("QUERY_STRING", "y=2")], "/c?y=2");
    check(&[("PATH_INFO", "/a"), ("REQUEST_URI", "/c?x=1")], "/a?x=1");
    check(&[("PATH_INFO", "/a"), ("QUERY_STRING", "")], "/a");
    check(&[("PATH_INFO", "/a"), ("QUERY_STRING", "#b")], "/a");
    check(&[("PATH_INFO", "/a"), ("QUERY_STRING", "x=1#b")], "/a?x=1");
    check(&[("PATH_INFO", "a/b")], "/a/b");
    check(&[], "/");
    check(&[("PATH_INFO", "/é ü%?#")], "/%C3%A9%20%C3%BC%25%3F%23");
    check(&[("PATH_INFO", "/..//%2f")], "/..//%252f");
}

#[test]
fn control_characters_in_a_path_are_encoded() {
    let request = build(&[("REQUEST_METHOD", b"GET"), ("PATH_INFO", b"/a\n\0b")]).unwrap();
    assert_eq!(request.parts.uri, "/a%0A%00b");
    let error = build(&[("REQUEST_METHOD", b"GET"), ("PATH_INFO", b"/"), ("QUERY_STRING", b"a\n")]);
    assert_eq!(error.unwrap_err(), Error::UriInvalid);
}

#[test]
fn a_raw_path_has_one_spelling() {
    for (raw, canonical) in [
        ("/a-b", "/a-b"),
        ("/a%2Db", "/a-b"),
        ("/a%2db", "/a-b"),
        ("/a%20b", "/a%20b"),
        ("/100%", "/100%25"),
        ("/%zz%4", "/%25zz%254"),
        ("/%C3%A9", "/%C3%A9"),
    ] {
        assert_eq!(canonical_path(raw.as_bytes()), canonical, "{raw}");
    }
}

#[test]
fn a_length_is_digits_and_nothing_else() {
    for bad in ["-1", "+5", " 5", "5 ", "0x5", "5,5", "5a", "18446744073709551621", "99999999999999999999"] {
        assert_eq!(post(&[("CONTENT_LENGTH", bad)]).unwrap_err(), Error::LengthInvalid, "{bad}");
    }
    assert_eq!(post(&[("CONTENT_LENGTH", "")]).unwrap().length, None);
    assert_eq!(post(&[("CONTENT_LENGTH", "007")]).unwrap().length, Some(7));
    let error = post(&[("CONTENT_LENGTH", "18446744073709551615")]).unwrap_err();
    assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn a_chunked_body_is_told_and_not_forwarded() {
    let chunked = ("HTTP_TRANSFER_ENCODING", "chunked");
    let request = post(&[("CONTENT_LENGTH", ""), chunked]).unwrap();
    assert_eq!((request.length, request.chunked), (None, true));
    let request = post(&[("CONTENT_LENGTH", "3"), chunked]).unwrap();
    assert_eq!((request.length, request.chunked), (Some(3), true));
    assert!(!request.parts.headers.contains_key(header::TRANSFER_ENCODING));
}

#[test]
fn a_length_or_method_that_contradicts_itself_is_refused() {
    let error = post(&[("CONTENT_LENGTH", "5"), ("CONTENT_LENGTH", "6")]).unwrap_err();
    assert_eq!(error, Error::Conflict("CONTENT_LENGTH"));
    assert_eq!(post(&[("CONTENT_LENGTH", "5"), ("CONTENT_LENGTH", "5")]).unwrap().length, Some(5));
    assert_eq!(post(&[("REQUEST_METHOD", "GET")]).unwrap_err(), Error::Conflict("REQUEST_METHOD"));
    assert_eq!(post(&[("PATH_INFO", "/last")]).unwrap().parts.uri, "/last");
}

#[test]
fn repeated_headers_are_joined() {
    let request =
        post(&[("HTTP_X_DUP", "a"), ("HTTP_COOKIE", "a=1"), ("HTTP_X_DUP", "b"), ("HTTP_COOKIE", "b=2")]);
    let headers = request.unwrap().parts.headers;
    assert_eq!(headers["x-dup"], "a, b");
    assert_eq!(headers["cookie"], "a=1; b=2");
}

#[test]
fn what_has_no_business_here_is_dropped() {
    let request = post(&[
        ("HTTP_PROXY", "evil"),
        ("HTTP_CONNECTION", "keep-alive"),
        ("HTTP_UPGRADE", "h2c"),
        ("HTTP_CONTENT_TYPE", "text/plain"),
        ("HTTP_CONTENT_LENGTH", "99"),
        ("CONTENT_TYPE", ""),
        ("UWSGI_FILE", "/x.py"),
        ("DOCUMENT_ROOT", "/srv"),
    ]);
    let request = request.unwrap();
    assert!(request.parts.headers.is_empty(), "{:?}", request.parts.headers);
    assert_eq!(request.length, None);
}

#[test]
fn another_spelling_does_not_get_a_header_through() {
    for name in ["HTTP_Proxy", "HTTP_PROXY-CONNECTION", "HTTP_CONTENT-LENGTH", "HTTP_Keep-Alive"] {
        assert!(post(&[(name, "evil")]).unwrap().parts.headers.is_empty(), "{name}");
    }
    let request = post(&[("HTTP_Transfer-Encoding", "chunked")]).unwrap();
    assert!(request.chunked && request.parts.headers.is_empty());
}

#[test]
fn the_content_type_and_the_remote_address_are_kept() {
    let request = post(&[("CONTENT_TYPE", "image/png"), ("REMOTE_ADDR", "::1")]).unwrap();
    assert_eq!(request.parts.headers["content-type"], "image/png");
    assert_eq!(request.parts.extensions.get(), Some(&RemoteAddr(Bytes::from_static(b"::1"))));
}

#[test]
fn headers_that_http_forbids_are_refused() {
    assert_eq!(post(&[("HTTP_X", "a\r\nb")]).unwrap_err(), Error::HeaderInvalid);
    assert_eq!(post(&[("HTTP_", "a")]).unwrap_err(), Error::HeaderInvalid);
    assert_eq!(post(&[("HTTP_A:B", "a")]).unwrap_err(), Error::HeaderInvalid);
    let long = format!("HTTP_{}", "A".repeat(100));
    let name = "a".repeat(100);
    assert_eq!(post(&[(&long, "1")]).unwrap().parts.headers[&*name], "1");
}

#[test]
fn variables_are_counted() {
    let many = vec![("A", ""); 254];
    assert!(post(&many).is_ok());
    let error = post(&[("A", ""); 255]).unwrap_err();
    assert_eq!((error.status().as_u16(), error), (431, Error::TooManyVars(256)));
}

#[test]
fn a_method_is_a_token() {
    for bad in ["", "G T", "G\n", "é"] {
        let error = build(&[("REQUEST_METHOD", bad.as_bytes())]).unwrap_err();
        assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{bad:?}");
    }
}

#[test]
fn a_head_has_one_length_and_nothing_of_a_connection() {
    let response = http::Response::builder()
        .status(404)
        .header("content-length", "99")
        .header("connection", "close")
        .header("transfer-encoding", "chunked")
        .header("x-a", "1")
        .body(())
        .unwrap();
    let parts = response.into_parts().0;
    let print = |line| {
        let mut output = BytesMut::new();
        response_head(line, &parts, 7, &mut output);
        String::from_utf8(output.to_vec()).unwrap()
    };
    assert_eq!(print(StatusLine::Http), "HTTP/1.1 404 Not Found\r\nx-a: 1\r\ncontent-length: 7\r\n\r\n");
    assert_eq!(print(StatusLine::Cgi), "Status: 404 Not Found\r\nx-a: 1\r\ncontent-length: 7\r\n\r\n");
}

#[test]
fn a_head_without_a_body_has_no_length() {
    let parts = http::Response::builder().status(204).body(()).unwrap().into_parts().0;
    let mut output = BytesMut::new();
    response_head(StatusLine::Http, &parts, 0, &mut output);
    assert_eq!(output, "HTTP/1.1 204 No Content\r\n\r\n");
}
