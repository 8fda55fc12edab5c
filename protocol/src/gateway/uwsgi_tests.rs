//! Packets fed whole and cut at every byte: the outcome must be the same.

use super::*;
use http::{StatusCode, header};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

/// Decodes `packet`, checking that no proper prefix of its head decides anything else.
fn check(packet: &[u8]) -> Result<Option<Packet>, Error> {
    let limits = Limits::default();
    let whole = decode(packet, &limits);
    for cut in 0..packet.len() {
        match (decode(&packet[..cut], &limits), &whole) {
            (Ok(None), _) => {}
            (Ok(Some(Packet::Request(_, end))), Ok(Some(Packet::Request(_, whole_end)))) => {
                assert_eq!(end, *whole_end);
                assert!(cut >= end, "decided by {cut} bytes of a head of {end}");
            }
            (Ok(Some(Packet::Ping)), Ok(Some(Packet::Ping))) => {}
            (Ok(Some(Packet::Unavailable(a))), Ok(Some(Packet::Unavailable(b)))) => assert_eq!(a, *b),
            (Err(early), Err(late)) => assert_eq!(early, *late),
            (early, late) => panic!("{cut} bytes give {early:?}, all give {late:?}"),
        }
    }
    whole
}

fn request(packet: &str) -> (cgi::Request, usize) {
    match check(&hex(packet)) {
        Ok(Some(Packet::Request(request, end))) => (request, end),
        other => panic!("{packet}: {other:?}"),
    }
}

fn refused(packet: &str, error: Error) {
    assert_eq!(check(&hex(packet)).map(|_| ()), Err(error), "{packet}");
}

fn packet(vars: &[(&str, &str)]) -> Vec<u8> {
    let mut output = BytesMut::new();
    encode(vars.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), &mut output).unwrap();
    output.to_vec()
}

const GET: &str = "003300000e00524551554553545f4d4554484f4403004745540b00524551554553545f55524901002f0900504154485f494e464f01002f";

#[test]
fn a_get_has_method_path_and_no_body() {
    let (request, end) = request(GET);
    assert_eq!(end, 4 + 0x33);
    assert_eq!(request.parts.method, "GET");
    assert_eq!(request.parts.uri, "/");
    assert_eq!(request.length, None);
}

#[test]
fn a_post_has_its_length_and_the_body_follows() {
    let bytes = hex(
        "003800000e00524551554553545f4d4554484f440400504f53540900504154485f494e464f02002f700e00434f4e54454e545f4c454e47544801003568656c6c6f",
    );
    let Ok(Some(Packet::Request(request, end))) = check(&bytes) else { panic!() };
    assert_eq!(request.length, Some(5));
    assert_eq!(&bytes[end..], b"hello");
    assert_eq!(request.parts.headers[header::CONTENT_LENGTH], "5");
}

#[test]
fn a_ping_is_a_ping_whatever_follows() {
    for probe in ["64000000", "6400000000", "64010000ff"] {
        assert!(matches!(check(&hex(probe)), Ok(Some(Packet::Ping))), "{probe}");
    }
    assert_eq!(PONG, [0x64, 0, 0, 1]);
}

#[test]
fn every_other_modifier_is_unavailable() {
    for modifier in (1..=255).filter(|modifier| *modifier != MODIFIER_PING) {
        let mut bytes = hex(GET);
        bytes[0] = modifier;
        assert!(matches!(check(&bytes), Ok(Some(Packet::Unavailable(given))) if given == modifier));
    }
}

#[test]
fn broken_blocks_are_refused() {
    refused("00060000ffff61626364", Error::Truncated);
    refused("00070000010041ffff7a7a", Error::Truncated);
    refused("0001000001", Error::Truncated);
    refused("00030000010041", Error::Truncated);
    refused("0004000000000000", Error::EmptyName);
    refused("00000000", Error::MethodMissing);
}

#[test]
fn a_block_over_the_limit_is_refused_by_its_header() {
    let limits = Limits { head: 4096, ..Limits::default() };
    let error = decode(&[0, 0xff, 0xff, 0], &limits).unwrap_err();
    assert_eq!(error, Error::HeadTooLarge(65535, 4096));
    assert_eq!(error.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[test]
fn the_largest_block_is_read() {
    let mut bytes = vec![0, 0xff, 0xff, 0, 1, 0, b'A', 0xfa, 0xff];
    bytes.resize(9 + 65530, b'a');
    assert_eq!(decode(&bytes, &Limits::default()).unwrap_err(), Error::MethodMissing);
}

#[test]
fn what_is_encoded_is_decoded() {
    let bytes = packet(&[
        ("REQUEST_METHOD", "PUT"),
        ("PATH_INFO", "/a b"),
        ("QUERY_STRING", "x=1"),
        ("HTTP_X_Y", "z"),
    ]);
    let Ok(Some(Packet::Request(request, end))) = check(&bytes) else { panic!() };
    assert_eq!(end, bytes.len());
    assert_eq!(request.parts.method, "PUT");
    assert_eq!(request.parts.uri, "/a%20b?x=1");
    assert_eq!(request.parts.headers["x-y"], "z");
}

#[test]
fn what_the_format_cannot_say_is_not_encoded() {
    let long = vec![b'a'; 65536];
    let mut output = BytesMut::new();
    assert!(encode([(&b"A"[..], &long[..])].into_iter(), &mut output).is_err());
    assert!(encode([(&b"A"[..], &long[..40000]); 2].into_iter(), &mut output).is_err());
}
