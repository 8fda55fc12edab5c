//! Two peers in memory: what the client asks arrives, and what the server answers comes back, whatever the pieces in
//! which the bytes travel.

use super::{
    Client, Server,
    client::Event as Said,
    pairs,
    record::{
        ABORT_REQUEST, BEGIN_REQUEST, Begin, END_REQUEST, GET_VALUES, GET_VALUES_RESULT, Header, KEEP_CONN,
        PARAMS, RESPONDER, STDIN, STDOUT, UNKNOWN_TYPE,
    },
    server::{Event, MAX_REQS},
};
use crate::gateway::{Limits, cgi};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

/// The bytes of one record without padding.
pub(super) fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&Header { kind, id, length, padding: 0 }.encode()[..], content].concat()
}

pub(super) fn begin(id: u16, keep_conn: bool) -> Vec<u8> {
    Begin { role: RESPONDER, flags: if keep_conn { KEEP_CONN } else { 0 } }.record(id).to_vec()
}

pub(super) fn params(id: u16, vars: &[(&str, &str)]) -> Vec<u8> {
    let mut block = BytesMut::new();
    for (name, value) in vars {
        pairs::encode(name.as_bytes(), value.as_bytes(), &mut block).unwrap();
    }
    let records: Vec<_> =
        block.chunks(65_535).chain([&[][..]]).map(|part| record(PARAMS, id, part)).collect();
    records.concat()
}

pub(super) fn stdin(id: u16, body: &[u8]) -> Vec<u8> {
    body.chunks(65_535).chain([&[][..]]).flat_map(|part| record(STDIN, id, part)).collect()
}

/// A POST with its length.
pub(super) fn post(id: u16, keep_conn: bool, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let vars = [("REQUEST_METHOD", "POST"), ("SCRIPT_NAME", "/p"), ("CONTENT_LENGTH", &length)];
    [begin(id, keep_conn), params(id, &vars), stdin(id, body)].concat()
}

/// Everything that the server has to write.
pub(super) fn written(server: &mut Server) -> Vec<u8> {
    let mut output = Vec::new();
    loop {
        let chunks: Vec<u8> = server.chunks().flatten().copied().collect();
        if chunks.is_empty() {
            return output;
        }
        server.advance(chunks.len());
        output.extend(chunks);
    }
}

/// Records as lines, `6 1 hello`: type, id, content.
pub(super) fn lines(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let Header { kind, id, length, padding } = Header::decode(*head).unwrap();
        let (content, rest) = rest.split_at(length.into());
        let (padding, rest) = rest.split_at(padding.into());
        assert!(padding.iter().all(|byte| *byte == 0));
        lines.push(format!("{kind} {id} {}", content.escape_ascii()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a header: {bytes:?}");
    lines
}

/// A client and a server; what one writes the other reads in pieces of at most `piece` bytes.
struct Pair {
    client: Client,
    server: Server,
    to_server: BytesMut,
    piece: usize,
}

impl Pair {
    fn new(piece: usize) -> Self {
        let server = Server::new(Limits::default(), 10);
        Self { client: Client::new(1 << 24), server, to_server: BytesMut::new(), piece }
    }

    fn request(&mut self, id: u16, vars: &[(&str, &str)], body: &[u8]) {
        let vars = vars.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.client.request(id, true, vars, body, &mut self.to_server).unwrap();
    }

    /// Moves the bytes of both directions, a piece each in turn, and has each request answered by `handler`.
    fn run(&mut self, mut handler: impl FnMut(&cgi::Request, Bytes) -> (String, Bytes)) -> Vec<Said> {
        let mut said = Vec::new();
        loop {
            let piece = self.to_server.split_to(self.piece.min(self.to_server.len()));
            self.server.feed(&piece).unwrap();
            while let Some(event) = self.server.poll() {
                if let Event::Request { id, request, body } = event {
                    let (head, body) = handler(&request, body);
                    assert!(self.server.answer(id, head.as_bytes(), body));
                    assert!(!self.server.answer(id, b"", Bytes::new()), "answered twice");
                }
            }
            let back: Vec<u8> = self.server.chunks().flatten().copied().take(self.piece).collect();
            self.server.advance(back.len());
            self.client.feed(&back).unwrap();
            said.extend(std::iter::from_fn(|| self.client.poll()));
            if piece.is_empty() && back.is_empty() {
                return said;
            }
        }
    }
}

/// Says back what was asked.
fn echo(request: &cgi::Request, body: Bytes) -> (String, Bytes) {
    (format!("Status: 200 OK\r\nx-path: {}\r\n\r\n", request.parts.uri.path()), body)
}

fn stdout(said: &[Said], wanted: u16) -> &[u8] {
    said.iter()
        .find_map(|event| match event {
            Said::Answer { id, stdout, .. } if *id == wanted => Some(&stdout[..]),
            _ => None,
        })
        .unwrap_or_else(|| panic!("no answer to {wanted}"))
}

#[test]
fn the_records_are_what_the_specification_says() {
    assert_eq!([BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT], [1, 2, 3, 4, 5, 6]);
    assert_eq!([GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE], [9, 10, 11]);
}

#[test]
fn what_is_asked_is_answered_in_pieces_of_any_size() {
    let body: Vec<u8> = (0..200_000u32).map(|at| at.to_le_bytes()[0]).collect();
    for piece in [1, 7, 8, 9, 4096, 32 * 1024, 1 << 20] {
        let mut pair = Pair::new(piece);
        let body = if piece < 4096 { &body[..5000] } else { &body[..] };
        pair.request(1, &[("REQUEST_METHOD", "PUT"), ("SCRIPT_NAME", "/a b")], body);
        pair.client.values(&["FCGI_MAX_REQS", "fcgi_max_conns"], &mut pair.to_server).unwrap();
        let said = pair.run(echo);
        let answer = stdout(&said, 1);
        let (parts, at) = cgi::response(answer, &Limits::default()).unwrap().unwrap();
        assert_eq!((parts.status.as_u16(), &parts.headers["x-path"]), (200, &"/a%20b".parse().unwrap()));
        assert_eq!(&answer[at..], body);
        let values = [("FCGI_MAX_REQS", "64"), ("fcgi_max_conns", "10")];
        let values = values.map(|(name, value)| (Bytes::from(name), Bytes::from(value))).to_vec();
        assert!(said.contains(&Said::Values(values)), "{said:?}");
        assert!(!pair.server.is_done());
        assert_eq!((pair.server.in_flight(), pair.server.unsent(), pair.client.open()), (0, 0, 0));
    }
}

#[test]
fn interleaved_requests_each_get_their_own() {
    let bodies: Vec<Vec<u8>> = (0..64u8).map(|at| vec![at; 700 * usize::from(at)]).collect();
    let mut streams: Vec<Vec<Vec<u8>>> = bodies
        .iter()
        .enumerate()
        .map(|(at, body)| {
            let id = u16::try_from(at * 2 + 1).unwrap();
            let mut records = vec![begin(id, true)];
            records.push(params(id, &[("REQUEST_METHOD", "POST"), ("SCRIPT_NAME", &format!("/{id}"))]));
            records.extend(body.chunks(1000).map(|part| record(STDIN, id, part)));
            records.push(record(STDIN, id, b""));
            records.reverse();
            records
        })
        .collect();
    let mut pair = Pair::new(3000);
    for id in (0..64).map(|at| at * 2 + 1) {
        // The client only has to know that they are open.
        let mut unsent = BytesMut::new();
        pair.client.request(id, true, [].into_iter(), b"", &mut unsent).unwrap();
    }
    while streams.iter().any(|stream| !stream.is_empty()) {
        for record in streams.iter_mut().filter_map(Vec::pop) {
            pair.to_server.extend_from_slice(&record);
        }
    }
    let said = pair.run(echo);
    for (at, body) in bodies.iter().enumerate() {
        let id = u16::try_from(at * 2 + 1).unwrap();
        let head = format!("Status: 200 OK\r\nx-path: /{id}\r\n\r\n");
        assert_eq!(stdout(&said, id), [head.as_bytes(), body].concat(), "{id}");
    }
    assert_eq!(bodies.len(), MAX_REQS);
}

proptest! {
    #[test]
    fn every_request_comes_back(
        requests in prop::collection::vec((any::<[u8; 3]>(), prop::collection::vec(any::<u8>(), 0..3000)), 1..20),
        piece in 1..5000usize,
    ) {
        let mut pair = Pair::new(piece);
        for (at, (name, body)) in requests.iter().enumerate() {
            let path = format!("/{}", name.escape_ascii());
            let vars = [("REQUEST_METHOD", "POST"), ("PATH_INFO", path.as_str())];
            pair.request(u16::try_from(at + 1).unwrap(), &vars, body);
        }
        let said = pair.run(echo);
        for (at, (_, body)) in requests.iter().enumerate() {
            let answer = stdout(&said, u16::try_from(at + 1).unwrap());
            let (_, start) = cgi::response(answer, &Limits::default()).unwrap().unwrap();
            prop_assert_eq!(&answer[start..], &body[..]);
        }
        prop_assert_eq!(pair.server.unsent(), 0);
    }
}
