//! A FastCGI client and a server, and requests of any kind between them.

use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use predictd_protocol::gateway::{
    Error, Limits, cgi,
    fastcgi::{
        Client, Server,
        client::Event as Said,
        server::{Event, MAX_REQS},
    },
};
use std::collections::HashMap;

const LIMITS: Limits = Limits { head: 1024, body: 4096, vars: 8 };

struct Request<'a> {
    keep_conn: bool,
    vars: Vec<(&'a [u8], &'a [u8])>,
    body: &'a [u8],
}

/// What a client asks is what the server reads, or the error that the variables alone would give; what is answered is
/// what the client reads.
pub fn fastcgi_round_trip(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // A shortage of bytes ends the list of requests, and is nothing to report.
    let piece = 1 + usize::from(input.arbitrary::<u16>().unwrap_or_default());
    let mut requests = Vec::new();
    while requests.len() < MAX_REQS && !input.is_empty() {
        match request(&mut input) {
            Ok(request) => requests.push(request),
            Err(_) => break,
        }
    }
    exchange(&requests, piece);
}

fn request<'a>(input: &mut Unstructured<'a>) -> Result<Request<'a>> {
    const NAMES: [&[u8]; 8] = [
        b"REQUEST_METHOD",
        b"PATH_INFO",
        b"SCRIPT_NAME",
        b"REQUEST_URI",
        b"QUERY_STRING",
        b"CONTENT_LENGTH",
        b"HTTP_X_NAME",
        b"HTTP_COOKIE",
    ];
    let keep_conn = input.ratio(15, 16)?;
    let mut vars: Vec<(&[u8], &[u8])> = Vec::new();
    if input.ratio(7, 8)? {
        vars.push((b"REQUEST_METHOD", b"POST"));
    }
    for _ in 0..input.int_in_range(0..=9)? {
        let name = if input.ratio(3, 4)? { *input.choose(&NAMES)? } else { input.arbitrary()? };
        vars.push((name, input.arbitrary()?));
    }
    Ok(Request { keep_conn, vars, body: input.arbitrary()? })
}

/// The request that the variables and the body make, or what is wrong with them.
fn expected(request: &Request<'_>) -> std::result::Result<cgi::Request, Error> {
    // One byte says a length up to 127, four a longer one.
    let length = |part: &[u8]| part.len() + if part.len() < 128 { 1 } else { 4 };
    let head: usize = request.vars.iter().map(|(name, value)| length(name) + length(value)).sum();
    if head > LIMITS.head {
        return Err(Error::HeadTooLarge(head, LIMITS.head));
    }
    let head = cgi::request(request.vars.iter().map(|var| Ok(*var)), &LIMITS)?;
    match head.length {
        Some(length) if length != request.body.len() as u64 => Err(Error::LengthWrong(length)),
        None if request.body.len() as u64 > LIMITS.body => Err(Error::StreamTooLarge(LIMITS.body)),
        _ => Ok(head),
    }
}

fn exchange(requests: &[Request<'_>], piece: usize) {
    let mut client = Client::new(1 << 24);
    let mut server = Server::new(LIMITS, 10);
    let mut asked = BytesMut::new();
    for (request, id) in requests.iter().zip(1..) {
        client
            .request(id, request.keep_conn, request.vars.iter().copied(), request.body, &mut asked)
            .expect("new");
    }
    // Pieces of a byte, but not for so long that it takes a second.
    let piece = piece.max(asked.len() / 500);
    let mut answers = HashMap::new();
    let mut read = HashMap::new();
    loop {
        let part = asked.split_to(piece.min(asked.len()));
        server.feed(&part).expect("a client that keeps to the protocol");
        while let Some(event) = server.poll() {
            let (id, body) = match event {
                Event::Request { id, request: got, body } => {
                    let request = &requests[usize::from(id.number()) - 1];
                    let wanted = expected(request).expect("a request that was given out");
                    assert_eq!(got.parts.method, wanted.parts.method);
                    assert_eq!(got.parts.uri, wanted.parts.uri);
                    assert_eq!(got.parts.headers, wanted.parts.headers);
                    assert_eq!(body, request.body);
                    (id, body)
                }
                Event::Reject { id, error } => {
                    let request = &requests[usize::from(id.number()) - 1];
                    assert_eq!(error, expected(request).expect_err("a request that was rejected"));
                    (id, Bytes::from(error.to_string()))
                }
                Event::Abort { .. } => panic!("nothing was aborted"),
            };
            let head = format!("Status: 200 OK\r\nx-id: {id}\r\n\r\n");
            assert!(server.answer(id, head.as_bytes(), body.clone()));
            answers.insert(id.number(), [head.as_bytes(), &body].concat());
        }
        let back: Vec<u8> = server.chunks().flatten().copied().take(piece).collect();
        server.advance(back.len());
        client.feed(&back).expect("a server that keeps to the protocol");
        while let Some(said) = client.poll() {
            let Said::Answer { id, stdout, end } = said else { panic!("{said:?}") };
            assert_eq!((end.app_status, end.protocol_status), (0, 0));
            assert!(read.insert(id, stdout.to_vec()).is_none());
        }
        if part.is_empty() && back.is_empty() {
            break;
        }
    }
    assert_eq!(read, answers);
    let closes = requests.iter().any(|request| !request.keep_conn);
    assert!(closes || answers.len() == requests.len(), "every request is answered");
    assert_eq!(server.is_done(), closes);
}
