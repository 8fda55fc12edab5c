//! What a front end must not believe.

use super::{
    super::{
        record::{BEGIN_REQUEST, unknown_type},
        tests::record,
    },
    *,
};

#[test]
fn a_client_refuses_what_it_did_not_ask() {
    let check = |bytes: &[u8], error: Error| {
        let mut client = Client::new(100);
        client.request(1, true, [].into_iter(), b"", &mut BytesMut::new()).unwrap();
        assert_eq!(client.feed(bytes).unwrap_err(), error);
    };
    check(&record(STDOUT, 2, b"x"), Error::NotAsked { kind: STDOUT, id: 2 });
    check(&record(STDIN, 1, b"x"), Error::NotAsked { kind: STDIN, id: 1 });
    check(&record(GET_VALUES_RESULT, 1, b""), Error::NotAsked { kind: GET_VALUES_RESULT, id: 1 });
    check(&record(GET_VALUES_RESULT, 0, b"\x7f\0"), Error::ValuesBroken);
    check(&record(END_REQUEST, 1, b"1234567"), Error::BodyLength { kind: END_REQUEST, length: 7 });
    check(&record(STDOUT, 1, &[0; 101]), Error::AnswerTooLarge(100));
    check(b"\x02234567812", Error::Version(2));
}

#[test]
fn a_client_names_each_request_once() {
    let mut client = Client::new(100);
    let mut output = BytesMut::new();
    assert_eq!(client.request(0, true, [].into_iter(), b"", &mut output), Err(Error::IdZero(BEGIN_REQUEST)));
    client.request(1, true, [].into_iter(), b"", &mut output).unwrap();
    assert_eq!(client.request(1, true, [].into_iter(), b"", &mut output), Err(Error::BegunTwice(1)));
    assert_eq!(client.open(), 1);
}

#[test]
fn a_record_too_long_is_not_written() {
    let mut output = BytesMut::new();
    assert_eq!(put(STDIN, 1, &[0; 65_536], &mut output), Err(Error::TooLong(65_536)));
    assert!(output.is_empty());
}

#[test]
fn messages_are_dropped_and_not_held() {
    let mut client = Client::new(10);
    client.request(1, true, [].into_iter(), b"", &mut BytesMut::new()).unwrap();
    client.feed(&[record(STDERR, 1, &[b'x'; 1000]), record(STDOUT, 1, b"a")].concat()).unwrap();
    assert_eq!(client.poll(), None);
    client.feed(&End { app_status: 7, protocol_status: 0 }.record(1)).unwrap();
    let end = End { app_status: 7, protocol_status: 0 };
    assert_eq!(client.poll(), Some(Event::Answer { id: 1, stdout: Bytes::from_static(b"a"), end }));
}

#[test]
fn an_abort_is_eight_bytes_and_an_unknown_type_is_told() {
    let mut client = Client::new(10);
    let mut output = BytesMut::new();
    client.abort(0x0102, &mut output);
    assert_eq!(output[..], [1, 2, 1, 2, 0, 0, 0, 0]);
    client.feed(&unknown_type(99)).unwrap();
    assert_eq!(client.poll(), Some(Event::UnknownType(99)));
}
