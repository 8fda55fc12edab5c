//! Bodies through both codings and back, what is no such body, and what clients say that they take.

use super::*;
use std::cell::Cell;

const CODINGS: [Coding; 2] = [Coding::Gzip, Coding::Deflate];

/// Numbers as they are in answers, never the same.
fn numbers(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut text = Vec::with_capacity(length + 16);
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(format!("{:.6},", f64::from(state >> 8) / f64::from(1 << 24)).as_bytes());
    }
    text.truncate(length);
    text
}

fn packed(coding: Coding, body: &[u8]) -> Vec<u8> {
    let always = Accepted { coding: Some(coding), always: true };
    let (got, packed) = always.pack(&pieces(body), || true).unwrap();
    assert_eq!(got, coding);
    packed
}

/// In pieces of all sizes.
fn pieces(body: &[u8]) -> Pieces {
    let (mut pieces, mut rest) = (Pieces::default(), Bytes::copy_from_slice(body));
    for size in (0..).map(|power| 3usize.pow(power)).take_while(|size| *size < body.len()) {
        pieces.push(rest.split_to(size.min(rest.len())));
    }
    pieces.push(rest);
    pieces
}

fn unpack(coding: Coding, body: &[u8]) -> Result<Bytes, CodingError> {
    Packed { coding, allowance: Allowance::default() }.unpack(body, || true)
}

#[test]
fn a_body_comes_back_as_it_was() {
    for coding in CODINGS {
        for length in [0, 1, 1000, 65_536, 3_000_000] {
            for body in [numbers(length), vec![b'x'; length]] {
                assert!(unpack(coding, &packed(coding, &body)).unwrap() == body, "{coding:?} {length}");
            }
        }
    }
}

#[test]
fn a_gzip_body_may_have_several_members() {
    let two = [packed(Coding::Gzip, b"one "), packed(Coding::Gzip, b"two")].concat();
    assert_eq!(unpack(Coding::Gzip, &two).unwrap(), &b"one two"[..]);
    let two = [packed(Coding::Deflate, b"one "), packed(Coding::Deflate, b"two")].concat();
    assert!(matches!(unpack(Coding::Deflate, &two), Err(CodingError::Trailing("deflate", 11..))));
}

#[test]
fn a_body_cut_anywhere_is_truncated_and_one_with_more_behind_it_refused() {
    for coding in CODINGS {
        let whole = packed(coding, &numbers(2000));
        for length in 0..whole.len() {
            let cut = unpack(coding, &whole[..length]);
            assert_eq!(cut, Err(CodingError::Truncated(coding.name())), "{length} of {}", whole.len());
        }
        for more in [&b"\0"[..], b"garbage"] {
            let error = unpack(coding, &[&whole, more].concat()).unwrap_err();
            assert_eq!(error, CodingError::Trailing(coding.name(), more.len()));
        }
    }
}

#[test]
fn a_changed_byte_is_found_out() {
    for coding in CODINGS {
        let (body, whole) = (numbers(300), packed(coding, &numbers(300)));
        // Time, system and hints of a gzip header are nobody's concern.
        let ignored = if coding == Coding::Gzip { 4..10 } else { 0..0 };
        for at in (0..whole.len()).filter(|at| !ignored.contains(at)) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            let unpacked = unpack(coding, &changed);
            assert!(unpacked.is_err() || unpacked.unwrap() == body, "{coding:?} {at}");
        }
        assert_eq!(unpack(coding, b"hello world, not compressed"), Err(CodingError::Broken(coding.name())));
    }
    let bare = &packed(Coding::Deflate, b"without the head of zlib")[2..];
    assert_eq!(unpack(Coding::Deflate, bare), Err(CodingError::Broken("deflate")));
}

#[test]
fn nothing_is_done_for_nobody() {
    let body = numbers(1 << 20);
    for coding in CODINGS {
        let looks = Cell::new(0);
        let stays_for = |most: i32| {
            looks.set(0);
            let looks = &looks;
            move || {
                looks.set(looks.get() + 1);
                looks.get() <= most
            }
        };
        let whole = packed(coding, &body);
        let open = Packed { coding, allowance: Allowance::default() };
        assert_eq!(open.unpack(&whole, stays_for(3)), Err(CodingError::Abandoned));
        assert_eq!(looks.get(), 4);
        assert_eq!(Accepted { coding: Some(coding), always: false }.pack(&pieces(&body), stays_for(3)), None);
        assert_eq!(looks.get(), 4);
    }
}

#[test]
fn what_does_not_become_smaller_goes_as_it_is() {
    let mut state = 7u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(1 << 20).collect();
    for coding in CODINGS {
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            true
        };
        let often = Accepted { coding: Some(coding), always: false };
        assert_eq!(often.pack(&pieces(&noise), look), None);
        assert!(looks.get() * STEP < 4 * SMALL, "given up early: {}", looks.get());
        assert_eq!(often.pack(&pieces(&noise[..2000]), || true), None);
        assert!(often.pack(&pieces(&numbers(WORTH_IT)), || true).is_some());
        assert_eq!(often.pack(&pieces(&numbers(WORTH_IT - 1)), || true), None);
        let always = Accepted { coding: Some(coding), always: true };
        assert!(always.pack(&pieces(&noise), || true).is_some());
        assert!(always.pack(&pieces(b"x"), || true).is_some());
    }
}

#[test]
fn the_client_chooses_the_coding() {
    let of = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        let Accepted { coding, always } = Accepted::of(&headers);
        (coding.map(Coding::name), always)
    };
    for (value, coding) in [
        ("gzip", Some("gzip")),
        ("deflate", Some("deflate")),
        ("gzip, deflate, br, zstd", Some("gzip")),
        ("deflate, gzip;q=1.0, *;q=0.5", Some("gzip")),
        ("br, gzip;q=0.5", Some("gzip")),
        ("gzip;q=0.5,deflate;q=0.8", Some("deflate")),
        ("GZIP ; Q=0.001", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("*", Some("gzip")),
        ("gzip;q=0, *", Some("deflate")),
        ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
        ("identity, gzip;q=0.5", None),
        ("", None),
        ("br", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("gzip;q=0.000, deflate;q=0", None),
        ("*;q=0", None),
        ("gzip;q=2", None),
        ("gzip;q=nan", None),
        ("gzip;x=1", None),
        ("identity;q=0", None),
    ] {
        assert_eq!(of(value), (coding, false), "{value}");
    }
    for value in ["gzip, identity;q=0", "gzip, *;q=0", "*, identity;q=0"] {
        assert_eq!(of(value), (Some("gzip"), true), "{value}");
    }
    assert_eq!(Accepted::of(&HeaderMap::new()), Accepted::default());
}

#[test]
fn a_request_has_one_coding_that_is_ours_or_none() {
    let of = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        Packed::of(&headers, &Extensions::new()).map(|packed| packed.map(|packed| packed.coding))
    };
    assert_eq!(of("gzip"), Ok(Some(Coding::Gzip)));
    assert_eq!(of(" X-GZIP "), Ok(Some(Coding::Gzip)));
    assert_eq!(of("Deflate"), Ok(Some(Coding::Deflate)));
    assert_eq!(of("identity"), Ok(None));
    assert_eq!(of(""), Ok(None));
    for other in ["br", "gzip, deflate", "gzip, gzip", "identity, gzip", "gzip;q=1", "zip"] {
        assert_eq!(of(other), Err(CodingError::Unknown(other.into())));
    }
}
