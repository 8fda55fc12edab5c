//! The server's side of FastCGI, given anything.

use bytes::Bytes;
use predictd_protocol::gateway::{
    Limits,
    fastcgi::{
        Server,
        record::{END_REQUEST, Framer, GET_VALUES_RESULT, Header, Piece, STDOUT, UNKNOWN_TYPE},
        server::{Event, MAX_IDS, MAX_REQS, RequestId},
    },
};
use std::collections::HashMap;

const BODY: usize = 2048;
const LIMITS: Limits = Limits { head: 512, body: BODY as u64, vars: 16 };

/// What is held stays within the limits and near what was sent; each request is given out once and within its
/// limits; what is written is well-formed records, of which each request gets its stream and one end.
///
/// The first byte says in pieces of which size the rest arrives, and how much of the output is written at a time.
pub fn fastcgi_server(data: &[u8]) {
    let Some((&size, input)) = data.split_first() else { return };
    let mut server = Server::new(LIMITS, 10);
    let mut given = HashMap::new();
    let mut late = Vec::new();
    let mut output = Vec::new();
    let mut fed = 0;
    for piece in input.chunks(1 + usize::from(size)) {
        fed += piece.len();
        let alive = server.feed(piece).is_ok();
        // A buffer has at most twice the room that it needs, and a little one for each request's variables.
        assert!(server.held() <= 2 * fed + 1024, "{} held of {fed}", server.held());
        assert!(server.held() <= MAX_REQS * 2 * (LIMITS.head + BODY) + (1 << 18));
        assert!(server.in_flight() <= MAX_IDS);
        let events: Vec<Event> = std::iter::from_fn(|| server.poll()).collect();
        for (at, event) in events.iter().enumerate() {
            act(&mut server, event, &events[at..], &mut given, &mut late);
        }
        if !alive {
            break;
        }
        assert_eq!(server.incomplete().is_some(), server.heaviest().is_some());
        if server.held() > 3000
            && let Some(id) = server.heaviest()
        {
            assert!(given.insert(id, false).is_none(), "{id} was given out, yet incomplete");
            assert!(server.answer(id, b"Status: 503\r\n\r\n", Bytes::new()) && server.lingers());
        }
        write(&mut server, 100 * usize::from(size), &mut output);
    }
    if size % 2 == 0 {
        server.drain();
    }
    for id in late {
        server.answer(id, b"Status: 200 OK\r\n\r\n", Bytes::from_static(b"late"));
    }
    while server.chunks().next().is_some() {
        write(&mut server, 1 << 16, &mut output);
    }
    assert_eq!(server.unsent(), 0);
    if server.is_done() {
        assert_eq!(server.in_flight(), 0);
    }
    check_output(&output);
}

/// Answers at once, at once and at length, or in the end. An answer is taken unless the peer has aborted, of which one
/// of the `next` events tells.
fn act(
    server: &mut Server,
    event: &Event,
    next: &[Event],
    given: &mut HashMap<RequestId, bool>,
    late: &mut Vec<RequestId>,
) {
    let is_open =
        |id| !next.iter().any(|event| matches!(event, Event::Abort { id: aborted } if *aborted == id));
    match event {
        Event::Request { id, request, body } => {
            assert!(request.length.is_none_or(|length| length == body.len() as u64));
            assert!(body.len() as u64 <= LIMITS.body);
            assert!(given.insert(*id, false).is_none(), "{id} is given out twice");
            let answer = match body.len() % 3 {
                0 => return late.push(*id),
                1 => body.clone(),
                _ => Bytes::from(vec![0; 100_000]),
            };
            assert_eq!(server.answer(*id, b"Status: 200 OK\r\n\r\n", answer), is_open(*id));
        }
        Event::Reject { id, error } => {
            assert!(error.status().is_client_error() || error.status().is_server_error());
            assert!(given.insert(*id, false).is_none(), "{id} is given out twice");
            match id.number() % 2 {
                0 => late.push(*id),
                _ => assert_eq!(server.answer(*id, b"Status: 400\r\n\r\n", Bytes::new()), is_open(*id)),
            }
        }
        Event::Abort { id } => {
            assert!(given.insert(*id, true) != Some(true), "{id} is aborted twice");
            assert!(!server.answer(*id, b"", Bytes::new()), "an aborted request needs no answer");
        }
    }
}

fn write(server: &mut Server, most: usize, output: &mut Vec<u8>) {
    let part: Vec<u8> = server.chunks().flatten().copied().take(most).collect();
    server.advance(part.len());
    output.extend(part);
}

/// Only records that an application sends; of each request STDOUT, its end, the request's end, in this order.
fn check_output(mut output: &[u8]) {
    let mut framer = Framer::default();
    let mut open: HashMap<u16, bool> = HashMap::new();
    let mut ended = true;
    while let Some(piece) = framer.piece(&mut output).expect("we write version 1") {
        ended = matches!(piece, Piece::End);
        let Piece::Start(Header { kind, id, length, .. }) = piece else { continue };
        match kind {
            STDOUT => {
                assert!(length <= 32 * 1024);
                let over = open.insert(id, length == 0);
                assert_ne!(over, Some(true), "STDOUT of {id} goes on after its end");
            }
            END_REQUEST => assert_ne!(open.remove(&id), Some(false), "STDOUT of {id} has no end"),
            GET_VALUES_RESULT | UNKNOWN_TYPE => assert_eq!(id, 0),
            _ => panic!("we never send type {kind}"),
        }
    }
    assert!(ended && open.is_empty(), "all that was begun is ended");
}

/// Bytes that arrive in pieces mean what they mean whole: the same events, the same error, the same output.
///
/// The first eight bytes say where the rest is cut.
pub fn fastcgi_split(data: &[u8]) {
    let Some((sizes, input)) = data.split_first_chunk::<8>() else { return };
    let mut rest = input;
    let pieces = sizes.iter().cycle().map_while(|size| {
        let (piece, later) = rest.split_at(rest.len().min(1 + usize::from(*size)));
        rest = later;
        Some(piece).filter(|piece| !piece.is_empty())
    });
    let in_pieces = transcript(pieces);
    assert_eq!(transcript([input].into_iter()), in_pieces);
    assert_eq!(transcript(input.chunks(1)), in_pieces);
}

/// All that comes of the pieces, as text, with nothing answered.
fn transcript<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut server = Server::new(LIMITS, 10);
    let mut lines = Vec::new();
    for piece in pieces {
        let fed = server.feed(piece);
        while let Some(event) = server.poll() {
            lines.push(format!("{event:?}"));
        }
        if let Err(error) = fed {
            lines.push(error.to_string());
            break;
        }
    }
    let mut output = Vec::new();
    write(&mut server, usize::MAX, &mut output);
    lines.push(format!("{:?} {} {output:?}", server.incomplete(), server.is_done()));
    lines
}
