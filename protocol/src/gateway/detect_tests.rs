//! First bytes, and what they may not decide too early.

use super::*;

fn wires(list: &[Wire]) -> Wires {
    list.iter().copied().collect()
}

/// What `start` shows; no part of it may show anything else.
fn check(start: &[u8], wires: Wires) -> Result<Option<Wire>, Stranger> {
    let whole = detect(start, wires);
    for cut in 0..start.len() {
        match detect(&start[..cut], wires) {
            Ok(None) => {}
            early => assert_eq!(early, whole, "{}", start[..cut].escape_ascii()),
        }
    }
    whole
}

#[test]
fn the_first_byte_tells_the_wire() {
    for (start, wire) in [
        (&b"\0"[..], Wire::Uwsgi),
        (b"d\0\0\0", Wire::Uwsgi),
        (b"\x01", Wire::FastCgi),
        (b"GET / HTTP/1.1", Wire::Http),
        (b"POST /", Wire::Http),
        (b"PROPFIND /", Wire::Http),
        (b"PRIVATE /", Wire::Http),
        (b"A", Wire::Http),
    ] {
        assert_eq!(check(start, Wires::ALL), Ok(Some(wire)), "{}", start.escape_ascii());
    }
    for undecided in [&b""[..], b"P", b"PRI ", b"PROXY", b"\r\n", b"\x16\x03"] {
        assert_eq!(check(undecided, Wires::ALL), Ok(None), "{}", undecided.escape_ascii());
    }
}

#[test]
fn strangers_get_a_hint() {
    let hint = |start: &[u8], allowed, says: &str| {
        let hint = check(start, allowed).unwrap_err().to_string();
        assert!(hint.contains(says), "{}: {hint}", start.escape_ascii());
    };
    for allowed in [Wires::ALL, wires(&[Wire::Uwsgi]), wires(&[Wire::FastCgi]), wires(&[Wire::Http])] {
        hint(b"\x16\x03\x01\x02\0\x01", allowed, "nginx terminates TLS");
        hint(b"PROXY TCP4 ", allowed, "PROXY protocol");
        hint(b"\r\n\r\n\0\r\nQUIT\n!", allowed, "PROXY protocol");
        hint(b"PRI * HTTP/2.0", allowed, "HTTP/2 without TLS");
    }
    hint(b"\x05\0\0\0", Wires::ALL, "modifier 5");
    hint(b"get / ", Wires::ALL, "0x67");
    hint(b"\x16\x33", Wires::ALL, "modifier 22");
    hint(
        b"GET / ",
        wires(&[Wire::Uwsgi]),
        "this is HTTP, and the socket takes uwsgi only (`wires`); use uwsgi_pass",
    );
    hint(b"GET / ", wires(&[Wire::FastCgi]), "use fastcgi_pass");
    hint(
        b"\0",
        wires(&[Wire::FastCgi, Wire::Http]),
        "this is uwsgi, and the socket takes FastCGI and HTTP only",
    );
    hint(
        b"\x01",
        wires(&[Wire::Http]),
        "this is FastCGI, and the socket takes HTTP only (`wires`); use proxy_pass",
    );
    hint(b"d", wires(&[Wire::Http]), "this is uwsgi");
}

#[test]
fn where_only_uwsgi_is_allowed_every_byte_is_a_modifier() {
    let only = wires(&[Wire::Uwsgi]);
    for modifier in 0..=255 {
        assert_eq!(check(&[modifier, 0x33, 0, 0], only), Ok(Some(Wire::Uwsgi)), "{modifier}");
    }
    for method in ["GET ", "POST", "HEAD", "PUT ", "DELETE"] {
        let hint = check(method.as_bytes(), only);
        assert_eq!(hint, Err(Stranger::Closed { wire: Wire::Http, wires: only }), "{method}");
    }
}

#[test]
fn names_go_both_ways() {
    for wire in Wire::ALL {
        assert_eq!(Wire::from_name(wire.name()), Some(wire));
        assert!(Wires::ALL.contains(wire) && !wires(&[]).contains(wire));
        assert_eq!(wires(&[wire]).iter().collect::<Vec<_>>(), [wire]);
    }
    assert_eq!(Wire::from_name("scgi"), None);
}
