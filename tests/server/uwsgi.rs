//! The uwsgi wire, byte by byte and badly treated.

use crate::{
    harness::{Reply, Server, packet, to_the_end},
    wires::connect,
};
use bytes::BytesMut;
use predictd_protocol::gateway::uwsgi;
use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

fn send(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(server);
    stream.write_all(bytes).unwrap();
    to_the_end(&mut stream)
}

#[test]
fn a_ping_is_answered() {
    let server = Server::start();
    assert_eq!(send(&server, &[100, 0, 0, 0]), [100, 0, 0, 1]);
    assert_eq!(send(&server, &[100, 1, 0, 0, 255]), [100, 0, 0, 1]);
}

#[test]
fn an_unavailable_modifier_is_logged_and_closed() {
    let mut request = packet("GET", "/v2", &[], 0);
    request[0] = 22;
    let server = Server::with("wires = ['uwsgi']");
    assert_eq!(send(&server, &request), b"");
    server.process.wait_for_line("unavailable modifier requested: 22");
    // Where any wire may be meant, it is one of many strangers.
    let server = Server::start();
    request[0] = 5;
    assert_eq!(send(&server, &request), b"");
    server.process.wait_for_line("if it is uwsgi, modifier 5 is unavailable");
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let server = Server::start();
    let body = b"[[5.1, 3.5, 1.4, 0.2]]";
    let request = [&packet("POST", "/predict/iris", &[], body.len())[..], body].concat();
    let whole = Reply::parse(&send(&server, &request)).ok();
    for size in [1, 2, 3, 7, 50, 100] {
        let mut stream = connect(&server);
        for piece in request.chunks(size) {
            stream.write_all(piece).unwrap();
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(Reply::parse(&answer).ok(), whole, "pieces of {size}");
    }
}

#[test]
fn what_comes_after_the_body_is_thrown_away() {
    let server = Server::start();
    let body = b"[[5.1, 3.5, 1.4, 0.2]]XX";
    let request = [&packet("POST", "/predict/iris", &[], body.len() - 2)[..], body].concat();
    Reply::parse(&send(&server, &request)).ok();
}

#[test]
fn a_large_body_comes_through_whole() {
    let server = Server::start();
    let rows = 100_000;
    let row: Vec<u8> = [5.1f32, 3.5, 1.4, 0.2].iter().flat_map(|number| number.to_le_bytes()).collect();
    let answer = server.post("/predict/iris?top_k=1", row.repeat(rows)).ok();
    assert_eq!(answer["results"].as_array().unwrap().len(), rows);
}

#[test]
fn what_is_refused_is_told_so_even_while_it_is_still_sending() {
    let server = Server::with("[limits]\nbody = '1MiB'");
    let mut stream = connect(&server);
    stream.write_all(&packet("POST", "/predict/iris", &[], 2 << 20)).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(&vec![b'x'; 2 << 20]));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let error = Reply::parse(&answer).error(413);
    assert_eq!(error, "the body of 2097152 bytes is over the limit of 1048576");
    sending.join().unwrap().unwrap();
}

#[test]
fn broken_packets_get_an_error_or_a_close() {
    let server = Server::start();
    let mut broken = packet("GET", "/v2", &[], 0);
    broken[4] = 0xff;
    let error = Reply::parse(&send(&server, &broken)).error(400);
    assert_eq!(error, "a variable runs past the end of its block");
    let error = Reply::parse(&send(&server, &[0, 0, 0, 0])).error(400);
    assert_eq!(error, "REQUEST_METHOD is missing");
    // Half a packet, half a body: nobody is there to be told.
    for request in [packet("GET", "/v2", &[], 0)[..20].to_vec(), packet("POST", "/predict/iris", &[], 5)] {
        let mut stream = connect(&server);
        stream.write_all(&request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"");
    }
}

#[test]
fn a_body_of_unknown_length_is_asked_for_one() {
    let vars = [
        ("REQUEST_METHOD", "POST"),
        ("PATH_INFO", "/predict/iris"),
        ("CONTENT_LENGTH", ""),
        ("HTTP_TRANSFER_ENCODING", "chunked"),
    ];
    let mut packet = BytesMut::new();
    let vars = vars.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    uwsgi::encode(vars, &mut packet).unwrap();
    let error = Reply::parse(&send(&Server::start(), &packet)).error(411);
    assert_eq!(error, "a body needs a CONTENT_LENGTH");
}

#[test]
fn slow_peers_are_not_waited_for() {
    let server = Server::with("[limits]\nhead_timeout = '200ms'\nbody_timeout = '200ms'");
    let begun = Instant::now();
    assert_eq!(send(&server, &packet("GET", "/v2", &[], 0)[..20]), b"");
    let error = Reply::parse(&send(&server, &packet("POST", "/predict/iris", &[], 5))).error(408);
    assert_eq!(error, "the body did not come in time");
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_client_that_goes_away_ends_its_run() {
    let server = Server::with("[workers]\ncount = 1\nslow_after = '60s'");
    let body = format!(r#"{{"inputs": {{"rounds": 2000000000, "x": [[{}]]}}}}"#, vec!["0.5"; 256].join(","));
    let mut stream = connect(&server);
    stream
        .write_all(&[&packet("POST", "/predict/busy", &[], body.len())[..], body.as_bytes()].concat())
        .unwrap();
    // Its worker is busy: nobody else is served.
    server.post("/predict/iris?timeout=300ms", "[[5.1, 3.5, 1.4, 0.2]]").error(504);
    drop(stream);
    server.post("/predict/iris?timeout=5s", "[[5.1, 3.5, 1.4, 0.2]]").ok();
    server.process.wait_for_line("the client went away");
}
