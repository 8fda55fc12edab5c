//! Whole connections, fed as they are, cut at every byte, and a byte at a time: the outcome must be the same.

use super::{
    super::tests::{begin, hex, lines, params, record, stdin, written},
    *,
};

/// BEGIN of request 1, a Responder without `KEEP_CONN`; the ends of its PARAMS and STDIN.
const B: &str = "01010001000800000001000000000000";
const P0: &str = "0104000100000000";
const S0: &str = "0105000100000000";
const GET: &str = "01040001002100000e03524551554553545f4d4554484f444745540b015343524950545f4e414d452f";
/// What `GET` is answered with: 39 bytes of STDOUT, its end, `END_REQUEST`.
const OK: &str = "01060001002700005374617475733a20323030204f4b0d0a436f6e74656e742d4c656e6774683a20320d0a0d0a6f6b010600010000000001030001000800000000000000000000";
const HEAD: &[u8] = b"Status: 200 OK\r\nContent-Length: 2\r\n\r\n";

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: Vec<String>,
    output: Vec<u8>,
    /// `Ok(true)` where it is to be closed after its last answer.
    end: Result<bool, Error>,
}

/// Feeds `pieces`, and answers `ok` to every request and the status alone to every reject, as soon as they come.
fn outcome<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut server = Server::new(Limits::default(), 8192);
    let (mut events, mut output) = (Vec::new(), Vec::new());
    for piece in pieces {
        let fed = server.feed(piece);
        while let Some(event) = server.poll() {
            events.push(match event {
                Event::Request { id, request, body } => {
                    assert!(server.answer(id, HEAD, Bytes::from_static(b"ok")));
                    let http::request::Parts { method, uri, .. } = request.parts;
                    format!("{id} {method} {uri} {}", body.escape_ascii()).trim_end().to_owned()
                }
                Event::Reject { id, error } => {
                    assert!(server.answer(id, b"Status: 400\r\n\r\n", Bytes::new()));
                    format!("{id} rejected {}", error.status().as_u16())
                }
                Event::Abort { id } => format!("{id} aborted"),
            });
        }
        output.extend(written(&mut server));
        if let Err(error) = fed {
            assert_eq!(server.feed(b""), Err(error.clone()), "an error stays");
            return Outcome { events, output, end: Err(error) };
        }
    }
    Outcome { events, output, end: Ok(server.is_done()) }
}

/// Feeds the steps, between which the client waits for answers.
fn check(name: &str, steps: &[&str], events: &[&str]) -> Outcome {
    let steps: Vec<Vec<u8>> = steps.iter().map(|step| hex(step)).collect();
    let whole = outcome(steps.iter().map(|step| &step[..]));
    assert_eq!(whole.events, events, "{name}");
    for (at, step) in steps.iter().enumerate() {
        for cut in 0..=step.len() {
            let (first, second) = step.split_at(cut);
            let cut_steps = steps[..at].iter().map(|step| &step[..]).chain([first, second]);
            let cut_steps = cut_steps.chain(steps[at + 1..].iter().map(|step| &step[..]));
            assert_eq!(outcome(cut_steps), whole, "{name}: step {at} cut at {cut}");
        }
    }
    assert_eq!(outcome(steps.iter().flat_map(|step| step.chunks(1))), whole, "{name}: a byte at a time");
    whole
}

/// Checks that the connection is to be closed, and when.
fn closes(name: &str, input: &str, error: Error) {
    let outcome = check(name, &[input], &[]);
    assert_eq!((outcome.end, &outcome.output[..]), (Err(error), &b""[..]), "{name}");
}

#[test]
fn f01_a_get_is_answered_and_the_connection_closed() {
    let outcome = check("F1", &[&[B, GET, P0, S0].concat()], &["1 GET /"]);
    assert_eq!(outcome.output, hex(OK));
    assert_eq!(outcome.end, Ok(true));
}

#[test]
fn f02_a_kept_connection_serves_again() {
    let padded = "01040001002102000e03524551554553545f4d4554484f444745540b015343524950545f4e414d452f0000";
    let request = ["01010001000800000001010000000000", padded, P0, S0].concat();
    let outcome = check("F2", &[&request, &request], &["1 GET /", "1 GET /"]);
    assert_eq!(outcome.output, hex(&OK.repeat(2)));
    assert_eq!(outcome.end, Ok(false));
}

#[test]
fn f03_values_are_answered_as_asked() {
    let asked = "01090000002000000d00464347495f4d41585f524551530f00464347495f4d5058535f434f4e4e53";
    let answer =
        "010a0000002305000d02464347495f4d41585f5245515336340f01464347495f4d5058535f434f4e4e53310000000000";
    let outcome = check("F3", &[asked], &[]);
    assert_eq!((outcome.output, outcome.end), (hex(answer), Ok(false)));

    let mid_connection = check("F3 later", &[&[B, GET, asked, P0, S0].concat()], &["1 GET /"]);
    assert_eq!(mid_connection.output, hex(&[answer, OK].concat()));
}

#[test]
fn values_are_known_in_any_case_and_answered_once() {
    let ask = |names: &[&str]| {
        let mut block = BytesMut::new();
        names.iter().for_each(|name| pairs::encode(name.as_bytes(), b"x", &mut block).unwrap());
        let mut server = Server::new(Limits::default(), 8192);
        server.feed(&record(GET_VALUES, 0, &block)).unwrap();
        lines(&written(&mut server))
    };
    assert_eq!(ask(&[]), ["10 0 "]);
    assert_eq!(ask(&["FCGI_NAME", ""]), ["10 0 "]);
    assert_eq!(ask(&["fcgi_Max_Conns"]), ["10 0 \\x0e\\x04fcgi_Max_Conns8192"]);
    assert_eq!(ask(&["FCGI_MAX_REQS"; 4000]), ["10 0 \\r\\x02FCGI_MAX_REQS64"]);
}

#[test]
fn f04_an_unknown_management_record_is_named() {
    let outcome = check("F4", &["0163000000000000"], &[]);
    assert_eq!((outcome.output, outcome.end), (hex("010b0000000800006300000000000000"), Ok(false)));
    let outcome = check("with content", &["016300000004040061626364000000000163000000000000"], &[]);
    assert_eq!(outcome.output, hex(&"010b0000000800006300000000000000".repeat(2)));
    let outcome = check("no answers to answers", &["010a000000000000010b0000000800006300000000000000"], &[]);
    assert!(outcome.output.is_empty());
}

#[test]
fn f05_other_roles_are_refused_and_their_records_skipped() {
    for role in ["02", "03", "00"] {
        let begin = format!("010100010008000000{role}010000000000");
        let outcome = check("F5", &[&[&begin, GET, P0, S0].concat()], &[]);
        assert_eq!((outcome.output, outcome.end), (hex("01030001000800000000000003000000"), Ok(false)));
    }
    let outcome = check("F5", &["01010001000800000002000000000000"], &[]);
    assert_eq!((outcome.output, outcome.end), (hex("01030001000800000000000003000000"), Ok(true)));
}

#[test]
fn f06_a_second_request_is_served_beside_the_first() {
    let begin = "01010003000800000001000000000000";
    let second = [GET, P0, S0].map(|record| record.replacen("0001", "0003", 1)).concat();
    let outcome = check("F6", &[&[B, begin, &second, GET, P0, S0].concat()], &["3 GET /", "1 GET /"]);
    assert_eq!(outcome.end, Ok(true));
    let ok = "Status: 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok";
    let end = "\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00";
    let expected = [3, 1].map(|id| [format!("6 {id} {ok}"), format!("6 {id} "), format!("3 {id} {end}")]);
    assert_eq!(lines(&outcome.output), expected.concat());
}

#[test]
fn f08_pairs_cross_records() {
    let split =
        "01040001000900000e035245515545535401040001001800005f4d4554484f444745540b015343524950545f4e414d452f";
    let outcome = check("F8", &[&[B, split, P0, S0].concat()], &["1 GET /"]);
    assert_eq!(outcome.output, hex(OK));
}

#[test]
fn f09_a_short_length_may_take_four_bytes() {
    let long_form = "01040001001900008000000e80000003524551554553545f4d4554484f44474554";
    check("F9", &[&[B, long_form, P0, S0].concat()], &["1 GET /"]);
}

#[test]
fn f11_a_block_that_ends_in_a_pair_is_answered_400() {
    let cut = "01040001002000000e03524551554553545f4d4554484f444745540b015343524950545f4e414d45";
    let outcome = check("F11", &[&[B, cut, P0, S0].concat()], &["1 rejected 400"]);
    assert_eq!(outcome.end, Ok(true));
}

#[test]
fn what_breaks_a_connection_closes_it() {
    closes("F7", &[B, B].concat(), Error::BegunTwice(1));
    let huge = Error::PairTooLong { id: 1, length: 0xffff_fffe };
    closes("F10", &[B, "0104000100080000ffffffffffffffff", P0].concat(), huge);
    closes("F12", &[B, "010500010001000078"].concat(), Error::StdinBeforeParams(1));
    closes("F12 empty", &[B, S0].concat(), Error::StdinBeforeParams(1));
    closes("F14", "02010001000800000001000000000000", Error::Version(2));
    closes("F15", &GET.replacen("0001", "0000", 1), Error::IdZero(PARAMS));
    closes("BEGIN of 0", &B.replacen("0001", "0000", 1), Error::IdZero(BEGIN_REQUEST));
    closes("F18", "010100010004000000010000", Error::BodyLength { kind: BEGIN_REQUEST, length: 4 });
    closes("values", "01090000000300000d0046", Error::ValuesBroken);
}

#[test]
fn f13_content_and_padding_are_never_records() {
    let fake = hex(&[B, GET, P0, S0, "0102000100000000"].concat());
    let body: Vec<u8> = fake.iter().copied().cycle().take(65_535).collect();
    let padding: Vec<u8> = fake.iter().copied().cycle().take(255).collect();
    let mut input = [hex(B), params(1, &[("REQUEST_METHOD", "PUT")])].concat();
    input.extend(hex("01050001ffffff00"));
    input.extend([&body[..], &padding, &hex(S0)].concat());
    let check = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut server = Server::new(Limits::default(), 1);
        pieces.for_each(|piece| server.feed(piece).unwrap());
        let Some(Event::Request { body: read, .. }) = server.poll() else { panic!() };
        assert!(read == body && server.poll().is_none());
    };
    check(&mut input.chunks(input.len()));
    check(&mut input.chunks(1));
    for cut in (0..input.len()).filter(|cut| cut % 251 == 0 || *cut < 200 || input.len() - cut < 300) {
        check(&mut [&input[..cut], &input[cut..]].into_iter());
    }
}

#[test]
fn f16_f20_f22_f24_f26_what_concerns_nobody_is_skipped() {
    let unknown = GET.replacen("0001", "0007", 1);
    for (name, stray) in [
        ("F16 PARAMS of another id", &unknown[..]),
        ("F22 ABORT of another id", "0102000900000000"),
        ("F20 DATA", "010800010001000064"),
        ("answers", "010300010008000000000000000000000106000100010000780107000100000000"),
        ("values with an id", "01090001000100000d"),
        ("an unknown type with an id", "016300010001000000"),
    ] {
        let before = [B, stray, GET, stray, P0, S0].concat();
        let after = [B, GET, P0, stray, S0, stray].concat();
        for input in [before, after] {
            let outcome = check(name, &[&input], &["1 GET /"]);
            assert_eq!((outcome.output, outcome.end), (hex(OK), Ok(true)), "{name}");
        }
    }
    check("F24", &[&[GET, P0, S0].concat()], &[]);
    check("F26", &[&[B, GET, P0, P0, GET, S0, S0].concat()], &["1 GET /"]);
}

#[test]
fn f17_an_abort_is_answered() {
    let outcome = check("F17", &[&[B, GET, P0, "0102000100000000"].concat()], &["1 aborted"]);
    assert_eq!(outcome.output, hex("010600010000000001030001000800000000000000000000"));
    assert_eq!(outcome.end, Ok(true));
    check("in the PARAMS", &[&[B, GET, "0102000100000000", P0, S0].concat()], &["1 aborted"]);
    let keep = "01010001000800000001010000000000";
    let again = [keep, GET, "0102000100000000", keep, GET, P0, S0].concat();
    check("used again", &[&again], &["1 aborted", "1 GET /"]);
}

#[test]
fn f19_a_body_is_as_long_as_was_said() {
    let said = "01040001002500000e04524551554553545f4d4554484f44504f53540e01434f4e54454e545f4c454e47544835";
    let head = [B, said, P0].concat();
    check("F19 short", &[&[&head, "01050001000200006865", S0].concat()], &["1 rejected 400"]);
    check("F19 long", &[&[&head, "0105000100060000686565656565", S0].concat()], &["1 rejected 400"]);
    check("F19 right", &[&[&head, "010500010005000068656c6c6f", S0].concat()], &["1 POST / hello"]);
    let parts = "010500010002000068650105000100030000 6c6c6f";
    check("in parts", &[&[&head, parts, S0].concat()], &["1 POST / hello"]);
}

#[test]
fn f21_a_body_of_unknown_length_ends_with_its_stream() {
    let empty = "01040001002400000e04524551554553545f4d4554484f44504f53540e00434f4e54454e545f4c454e475448";
    let body = "010500010005000068656c6c6f";
    check("F21", &[&[B, empty, P0, body, S0].concat()], &["1 POST / hello"]);
    let vars = [("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", ""), ("HTTP_TRANSFER_ENCODING", "chunked")];
    let mut server = Server::new(Limits::default(), 1);
    server.feed(&[begin(1, true), params(1, &vars), stdin(1, b"hello")].concat()).unwrap();
    let Some(Event::Request { body, .. }) = server.poll() else { panic!("nginx, unbuffered and chunked") };
    assert_eq!(body, "hello");
}

#[test]
fn f23_f25_flags_and_reserved_bytes_mean_nothing() {
    let flags = "01010001000800000001fe0000000000";
    let outcome = check("F23", &[&[flags, GET, P0, S0].concat()], &["1 GET /"]);
    assert_eq!(outcome.end, Ok(true), "bit 0 is not set");
    let reserved = "01010001000800ff000101ffffffffff";
    let outcome = check("F25", &[&[reserved, GET, P0, S0].concat()], &["1 GET /"]);
    assert_eq!(outcome.end, Ok(false));
}

#[test]
fn f27_half_a_record_is_no_event() {
    let whole = hex(&[B, GET, P0, S0].concat());
    for end in 0..whole.len() {
        assert_eq!(outcome([&whole[..end]].into_iter()).events, [""; 0], "{end}");
    }
}
