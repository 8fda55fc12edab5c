//! What a peer can make the server hold, and what becomes of those who ask for more.

use super::{
    super::tests::{begin, lines, params, post, record, stdin, written},
    *,
};

const SMALL: Limits = Limits { head: 1000, body: 10_000, vars: 10 };

/// Feeds `input` whole, then cut at every byte; gives the rejects and the events that are none.
fn rejects(limits: Limits, input: &[u8]) -> (Vec<(u16, gateway::Error)>, usize) {
    let run = |pieces: [&[u8]; 2]| {
        let mut server = Server::new(limits, 1);
        let (mut rejects, mut others) = (Vec::new(), 0);
        for piece in pieces {
            server.feed(piece).unwrap();
            while let Some(event) = server.poll() {
                match event {
                    Event::Reject { id, error } => rejects.push((id.number(), error)),
                    _ => others += 1,
                }
            }
        }
        (rejects, others)
    };
    let whole = run([input, b""]);
    for cut in 0..input.len() {
        assert_eq!(run([&input[..cut], &input[cut..]]), whole, "cut at {cut}");
    }
    whole
}

#[test]
fn a_head_over_the_limit_is_431_before_it_is_held() {
    let long = "a".repeat(600);
    let vars = [("REQUEST_METHOD", "POST"), ("A", &long), ("B", &long)];
    let mut input = begin(1, true);
    let block = params(1, &vars);
    input.extend(record(PARAMS, 1, &block[8..600]));
    input.extend(record(PARAMS, 1, &block[600..block.len() - 8]));
    input.extend([record(PARAMS, 1, b""), stdin(1, b"x")].concat());
    let (rejected, others) = rejects(SMALL, &input);
    assert!(matches!(rejected[..], [(1, gateway::Error::HeadTooLarge(1232, 1000))]), "{rejected:?}");
    assert_eq!(others, 0);
}

#[test]
fn a_body_over_the_limit_is_413_at_once() {
    let known = |length: &str| {
        let vars = [("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", length)];
        rejects(
            SMALL,
            &[begin(1, true), params(1, &vars), record(STDIN, 1, b"abc"), record(STDIN, 1, b"")].concat(),
        )
    };
    assert_eq!(known("10001"), (vec![(1, gateway::Error::BodyTooLarge(10_001, 10_000))], 0));
    assert_eq!(known("2"), (vec![(1, gateway::Error::LengthWrong(2))], 0));
    assert_eq!(known("3"), (vec![], 1));

    let head = [begin(1, true), params(1, &[("REQUEST_METHOD", "POST")])].concat();
    let mut server = Server::new(SMALL, 1);
    server.feed(&head).unwrap();
    let mut sent = 0;
    while server.poll().is_none() {
        server.feed(&record(STDIN, 1, &[0; 100])).unwrap();
        sent += 100;
        assert!(server.held() <= 2 * sent + 3 * SMALL.head, "{}", server.held());
    }
    assert_eq!(sent, 10_100);
    server.feed(&record(STDIN, 1, &[0; 60_000])).unwrap();
    assert!(server.held() <= 3 * SMALL.head && server.poll().is_none());
}

#[test]
fn a_claimed_length_is_not_believed() {
    let vars = [("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", "67108864")];
    let mut server = Server::new(Limits::default(), 1);
    server.feed(&[begin(1, true), params(1, &vars), record(STDIN, 1, &[0; 100])].concat()).unwrap();
    assert!(server.held() < 1000, "{}", server.held());
    server.feed(&record(STDIN, 1, &[0; 50_000])).unwrap();
    assert!(server.held() < 110_000, "{}", server.held());
}

#[test]
fn a_body_of_known_length_gets_no_more_room_than_that() {
    let mut server = Server::new(Limits::default(), 1);
    server.feed(&post(1, true, &[7; 100_000])).unwrap();
    let Some(Event::Request { body, .. }) = server.poll() else { panic!() };
    let body = body.try_into_mut().unwrap();
    assert_eq!((body.len(), body.capacity()), (100_000, 100_000));
}

#[test]
fn the_65th_request_is_503_and_the_others_are_served() {
    let mut server = Server::new(SMALL, 1);
    let ids: Vec<u16> = (1..=65).collect();
    ids.iter().for_each(|id| server.feed(&post(*id, true, b"x")).unwrap());
    let mut open = Vec::new();
    for id in &ids {
        match server.poll().unwrap() {
            Event::Request { id: given, .. } => open.push(given),
            Event::Reject { id: given, error } => {
                assert_eq!((given.number(), error.status().as_u16()), (65, 503));
                assert!(server.answer(given, b"Status: 503\r\n\r\n", Bytes::new()));
            }
            other @ Event::Abort { .. } => panic!("{id}: {other:?}"),
        }
    }
    assert_eq!((open.len(), server.in_flight()), (64, 64));
    assert_eq!(lines(&written(&mut server)).len(), 3);
    assert!(server.answer(open[0], b"h", Bytes::new()));
    server.feed(&post(65, true, b"x")).unwrap();
    assert!(matches!(server.poll(), Some(Event::Request { .. })), "there is room again");
}

#[test]
fn a_flood_of_begins_closes_the_connection() {
    let mut server = Server::new(SMALL, 1);
    let mut error = Ok(());
    for id in 1..=u16::MAX {
        error = server.feed(&begin(id, true));
        if error.is_err() {
            break;
        }
    }
    assert_eq!(error, Err(Error::TooManyIds(MAX_IDS)));
    assert!(server.held() < 64 * 1024);
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_closed() {
    for asks in [
        record(99, 0, b""),
        [begin(1, true), record(ABORT_REQUEST, 1, b"")].concat(),
        record(GET_VALUES, 0, b"\x0d\0FCGI_MAX_REQS"),
        Begin { role: 2, flags: 1 }.record(1).to_vec(),
    ] {
        let mut server = Server::new(SMALL, 1);
        let mut fed = 0;
        let error = loop {
            fed += asks.len();
            assert!(fed < 1 << 20, "never closed");
            match server.feed(&asks) {
                Ok(()) => drop(server.poll()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::NotReading(_)), "{error}");
        assert!(server.unsent() < UNREAD_MAX + 1000);

        let mut reader = Server::new(SMALL, 1);
        for _ in 0..20_000 {
            reader.feed(&asks).unwrap();
            drop(reader.poll());
            written(&mut reader);
        }
    }
}

#[test]
fn a_late_answer_does_not_reach_the_next_request_of_that_number() {
    let mut server = Server::new(SMALL, 1);
    server.feed(&post(1, true, b"first")).unwrap();
    let Some(Event::Request { id: first, .. }) = server.poll() else { panic!() };
    server.feed(&[record(ABORT_REQUEST, 1, b""), post(1, true, b"second")].concat()).unwrap();
    assert!(matches!(server.poll(), Some(Event::Abort { id }) if id == first));
    let Some(Event::Request { id: second, .. }) = server.poll() else { panic!() };
    assert!(!server.answer(first, b"first", Bytes::new()));
    assert!(server.answer(second, b"second", Bytes::new()));
    assert_eq!(lines(&written(&mut server))[2], "6 1 second");
}

#[test]
fn an_abort_cuts_an_answer_that_waits_for_its_turn() {
    let mut server = Server::new(SMALL, 1);
    server.feed(&post(1, true, b"")).unwrap();
    let Some(Event::Request { id, .. }) = server.poll() else { panic!() };
    server.answer(id, b"h", Bytes::from(vec![0; 1 << 20]));
    server.feed(&record(ABORT_REQUEST, 1, b"")).unwrap();
    assert!(server.poll().is_none(), "there is nothing to cancel");
    assert!(server.unsent() < 100_000);
    assert!(lines(&written(&mut server)).last().unwrap().starts_with("3 1 "));
}

#[test]
fn an_answer_may_come_before_the_body() {
    let mut server = Server::new(SMALL, 1);
    let request = post(1, false, &[0; 100]);
    server.feed(&request[..request.len() - 58]).unwrap();
    let waiting = server.incomplete().unwrap();
    assert_eq!((waiting.has_head, waiting.received, server.heaviest()), (true, 50, Some(waiting.id)));
    assert!(!server.lingers());
    assert!(server.answer(waiting.id, b"Status: 408\r\n\r\n", Bytes::new()));
    assert!(server.lingers() && !server.is_done());
    assert_eq!(server.incomplete(), None);
    server.feed(&request[request.len() - 58..]).unwrap();
    assert!(server.poll().is_none());
    written(&mut server);
    assert!(server.is_done());
}

#[test]
fn the_oldest_is_waited_for_and_the_heaviest_goes_first() {
    let mut server = Server::new(SMALL, 1);
    let head = |id| [begin(id, true), params(id, &[("REQUEST_METHOD", "PUT")])].concat();
    server.feed(&[begin(9, true), record(PARAMS, 9, b"\x01")].concat()).unwrap();
    server.feed(&[head(4), record(STDIN, 4, &[0; 500])].concat()).unwrap();
    server.feed(&[head(2), record(STDIN, 2, &[0; 100])].concat()).unwrap();
    let oldest = server.incomplete().unwrap();
    assert_eq!((oldest.id.number(), oldest.has_head, oldest.received), (9, false, 1));
    assert_eq!(server.heaviest().map(RequestId::number), Some(4));
}

#[test]
fn a_request_that_closes_takes_no_other_with_it() {
    let mut server = Server::new(SMALL, 1);
    server.feed(&[post(1, true, b""), post(3, false, b"")].concat()).unwrap();
    let Some(Event::Request { id: kept, .. }) = server.poll() else { panic!() };
    let Some(Event::Request { id: last, .. }) = server.poll() else { panic!() };
    server.answer(last, b"h", Bytes::new());
    written(&mut server);
    assert!(!server.is_done());
    server.feed(&post(5, true, b"")).unwrap();
    assert!(server.poll().is_none(), "none is begun any more");
    server.answer(kept, b"h", Bytes::new());
    assert!(!server.is_done(), "the answer is not written");
    written(&mut server);
    assert!(server.is_done());
}

#[test]
fn a_drain_closes_after_the_next_answer() {
    let mut server = Server::new(SMALL, 1);
    server.feed(&post(1, true, b"")).unwrap();
    server.drain();
    assert!(!server.is_done());
    let Some(Event::Request { id, .. }) = server.poll() else { panic!() };
    server.answer(id, b"h", Bytes::new());
    written(&mut server);
    assert!(server.is_done());
}

#[test]
fn a_live_number_cannot_be_begun_while_its_answer_waits() {
    let mut server = Server::new(SMALL, 1);
    server.feed(&post(1, true, b"")).unwrap();
    let Some(Event::Request { id, .. }) = server.poll() else { panic!() };
    server.answer(id, b"h", Bytes::from(vec![0; 1 << 20]));
    assert_eq!(server.feed(&begin(1, true)), Err(Error::BegunTwice(1)));
}
