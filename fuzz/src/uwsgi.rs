//! The first bytes of a connection, and uwsgi packets.

use bytes::BytesMut;
use http::header;
use predictd_protocol::gateway::{
    Limits, Wire, Wires, cgi, detect,
    uwsgi::{Header, Packet, decode, encode},
};

/// No prefix of a packet decides otherwise than the whole; a request consumes no more than was given and holds no more
/// than it consumed; its encoding decodes to the same request.
pub fn uwsgi(data: &[u8]) {
    let limits = Limits { head: 16 * 1024, body: 1 << 30, vars: 32 };
    if let Some(header) = Header::decode(data) {
        assert_eq!(header.encode(), data[..Header::LEN]);
    }
    for wires in [Wires::ALL, [Wire::Uwsgi].into_iter().collect()] {
        let whole = detect(data, wires);
        for cut in 0..data.len().min(20) {
            let early = detect(&data[..cut], wires);
            assert!(early == Ok(None) || early == whole, "{early:?}, then {whole:?}");
        }
    }
    check_reply(data, &limits);
    let whole = decode(data, &limits);
    // Every cut of a short packet, and some of a long one.
    for cut in (0..data.len()).step_by(1 + data.len() / 64) {
        match (decode(&data[..cut], &limits), &whole) {
            (Ok(None), _) => {}
            (Ok(Some(Packet::Request(_, end))), Ok(Some(Packet::Request(_, whole_end)))) => {
                assert!(end == *whole_end && end <= cut);
            }
            (early, whole) => assert_eq!(format!("{early:?}"), format!("{whole:?}")),
        }
    }
    if let Ok(Some(Packet::Request(request, end))) = whole {
        assert!(end <= data.len() && end <= Header::LEN + limits.head);
        check(&request, end, &limits);
        let again = again(&request, &limits);
        assert_eq!(again.parts.method, request.parts.method);
        assert_eq!(again.parts.uri, request.parts.uri);
        assert_eq!(again.parts.headers, request.parts.headers);
        assert_eq!(again.length, request.length);
    }
}

fn check(request: &cgi::Request, end: usize, limits: &Limits) {
    assert!(request.parts.uri.path().starts_with('/'));
    assert!(request.parts.uri.to_string().len() <= 3 * end + 1, "each byte is at most percent-encoded");
    assert!(request.length.is_none_or(|length| length <= limits.body));
    let headers = &request.parts.headers;
    assert!(!headers.contains_key("proxy") && !headers.contains_key(header::TRANSFER_ENCODING));
    assert!(headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() <= 2 * end);
    assert_eq!(headers.keys_len(), headers.len(), "one value a name");
}

/// What a client reads: the head of an answer, and nothing else by a part of it.
fn check_reply(data: &[u8], limits: &Limits) {
    let whole = cgi::response(data, limits);
    if let Ok(Some((parts, end))) = &whole {
        assert!(*end <= data.len() && parts.headers.len() <= limits.vars);
    }
    for cut in (0..data.len()).step_by(1 + data.len() / 16) {
        let early = cgi::response(&data[..cut], limits);
        assert!(
            matches!(early, Ok(None)) || format!("{early:?}") == format!("{whole:?}"),
            "{early:?}, {whole:?}"
        );
    }
}

/// The request as a front end would send it once more.
fn again(request: &cgi::Request, limits: &Limits) -> cgi::Request {
    let parts = &request.parts;
    let path: Vec<u8> = percent_encoding::percent_decode_str(parts.uri.path()).collect();
    let mut vars: Vec<(Vec<u8>, &[u8])> = vec![
        (b"REQUEST_METHOD".to_vec(), parts.method.as_str().as_bytes()),
        (b"PATH_INFO".to_vec(), &path),
        (b"QUERY_STRING".to_vec(), parts.uri.query().unwrap_or_default().as_bytes()),
    ];
    for (name, value) in &parts.headers {
        let variable = name.as_str().to_ascii_uppercase().replace('-', "_");
        let http = !matches!(*name, header::CONTENT_LENGTH | header::CONTENT_TYPE);
        vars.push(((if http { "HTTP_" } else { "" }.to_owned() + &variable).into_bytes(), value.as_bytes()));
    }
    let mut packet = BytesMut::new();
    encode(vars.iter().map(|(name, value)| (&name[..], *value)), &mut packet).expect("it came in a packet");
    let roomy = Limits { head: 65_535, vars: limits.vars + 3, ..*limits };
    match decode(&packet, &roomy) {
        Ok(Some(Packet::Request(request, end))) if end == packet.len() => request,
        other => panic!("{other:?}"),
    }
}
