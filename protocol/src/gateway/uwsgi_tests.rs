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

/// A POST of `/p` with more variables.
fn post(vars: &str) -> String {
    let vars = format!("0e00524551554553545f4d4554484f440400504f53540900504154485f494e464f02002f70{vars}");
    let size = u16::try_from(vars.len() / 2).unwrap().swap_bytes();
    format!("00{size:04x}00{vars}")
}

/// `CONTENT_LENGTH` with this value.
fn length(value: &str) -> String {
    let value: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let size = u16::try_from(value.len() / 2).unwrap().swap_bytes();
    format!("0e00434f4e54454e545f4c454e475448{size:04x}{value}")
}

#[test]
fn u05_an_empty_length_is_none() {
    let (request, end) = request(
        "004500000e00524551554553545f4d4554484f4403004745540b00524551554553545f55524901002f0900504154485f494e464f01002f0e00434f4e54454e545f4c454e4754480000",
    );
    assert_eq!((request.length, end), (None, 4 + 0x45));
}

#[test]
fn u06_repeated_headers_are_joined() {
    let (request, _) = request(
        "005100000e00524551554553545f4d4554484f4403004745540b00524551554553545f55524901002f0900504154485f494e464f01002f0a00485454505f585f4455500100610a00485454505f585f445550010062",
    );
    assert_eq!(request.parts.headers["x-dup"], "a, b");
}

#[test]
fn u07_u13_u14_a_length_is_one_strict_number() {
    refused(&post(&(length("5") + &length("6"))), Error::Conflict("CONTENT_LENGTH"));
    for bad in ["-1", "+5", " 5", "5 ", "0x5", "5,5", "5a", "18446744073709551621"] {
        refused(&post(&length(bad)), Error::LengthInvalid);
    }
}

#[test]
fn u16_u17_half_a_packet_is_none() {
    for part in ["", "00", "0010", "003300000e00524551554553545f4d4554484f440300474554"] {
        assert!(matches!(check(&hex(part)), Ok(None)), "{part}");
    }
}

#[test]
fn u18_u19_the_body_is_not_the_head() {
    for body in ["6865", "68656c6c6f5858"] {
        let (request, end) = request(&(post(&length("5")) + body));
        assert_eq!((request.length, end), (Some(5), post(&length("5")).len() / 2), "{body}");
    }
}

#[test]
fn u21_control_characters_in_a_path_are_encoded() {
    let (request, _) =
        request("002700000e00524551554553545f4d4554484f4403004745540900504154485f494e464f05002f610a0062");
    assert_eq!(request.parts.uri, "/a%0A%00b");
}

#[test]
fn u22_u23_magic_variables_mean_nothing() {
    let file = "0a0055575347495f46494c4505002f782e7079";
    let proxy = "0a00485454505f50524f585904006576696c";
    let (request, _) = request(&post(&(file.to_owned() + proxy)));
    assert!(request.parts.headers.is_empty(), "{:?}", request.parts.headers);
}

#[test]
fn u24_chunks_need_a_length() {
    let chunked = "1600485454505f5452414e534645525f454e434f44494e4707006368756e6b6564";
    refused(&post(&(length("") + chunked)), Error::LengthRequired);
    let (request, _) = request(&post(&(length("3") + chunked)));
    assert_eq!(request.length, Some(3));
}
