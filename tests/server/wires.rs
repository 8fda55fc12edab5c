//! The same requests by three protocols on one socket: the same answers and limits.

use crate::harness::{PATIENCE, Reply, Server, eventually, packet, read, to_the_end, within};
use bytes::{Bytes, BytesMut};
use predictd_protocol::gateway::{
    detect::Wire,
    fastcgi::{Client, client::Event},
};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// Method, target, headers, body.
type Asked<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8]);

/// A request in the bytes of its wire, FastCGI's with id 1.
pub(crate) fn request(
    wire: Wire,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    match wire {
        Wire::Uwsgi => [&packet(method, target, headers, body.len()), body].concat(),
        Wire::FastCgi => fastcgi(&mut Client::new(1 << 30), 1, method, target, headers, body),
        Wire::Http => {
            let headers: String =
                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let length = body.len();
            let head =
                format!("{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n");
            [head.as_bytes(), body].concat()
        }
    }
}

fn fastcgi(
    client: &mut Client,
    id: u16,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length = body.len().to_string();
    let mut vars = vec![
        ("REQUEST_METHOD".to_owned(), method.to_owned()),
        ("SCRIPT_NAME".into(), path.into()),
        ("QUERY_STRING".into(), query.into()),
        ("CONTENT_LENGTH".into(), length),
    ];
    for (name, value) in headers {
        let name = name.to_uppercase().replace('-', "_");
        let name = if name == "CONTENT_TYPE" { name } else { format!("HTTP_{name}") };
        vars.push((name, (*value).to_owned()));
    }
    let mut output = BytesMut::new();
    let vars = vars.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    client.request(id, true, vars, body, &mut output).unwrap();
    output.to_vec()
}

pub(crate) fn connect(server: &Server) -> UnixStream {
    let stream = UnixStream::connect(server.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads one answer; the connection may go on.
pub(crate) fn answer(wire: Wire, stream: &mut UnixStream) -> Reply {
    match wire {
        Wire::Uwsgi => {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            Reply::parse(&answer)
        }
        Wire::FastCgi => {
            let mut client = Client::new(1 << 30);
            // It has to know what it asked.
            fastcgi(&mut client, 1, "GET", "/", &[], b"");
            let (_, stdout) = fastcgi_answer(&mut client, stream);
            Reply::parse(&stdout)
        }
        Wire::Http => Reply::receive(stream),
    }
}

fn fastcgi_answer(client: &mut Client, stream: &mut UnixStream) -> (u16, Bytes) {
    let mut buffer = [0; 65536];
    loop {
        if let Some(Event::Answer { id, stdout, .. }) = client.poll() {
            return (id, stdout);
        }
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed without an answer");
        client.feed(&buffer[..read]).unwrap();
    }
}

pub(crate) fn ask(
    server: &Server,
    wire: Wire,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut stream = connect(server);
    stream.write_all(&request(wire, method, target, headers, body)).unwrap();
    answer(wire, &mut stream)
}

#[test]
fn the_same_request_gets_the_same_answer_by_every_wire() {
    let server = Server::start();
    let seven = read("models/digits/samples/7.png");
    let json = [("Content-Type", "application/json")];
    let requests: [Asked<'_>; 11] = [
        ("GET", "/v2/health/live", &[], b""),
        ("GET", "/v2/models/iris?x=%20", &[], b""),
        ("GET", "/nowhere/a-b_c.d~e", &[], b""),
        ("POST", "/predict/iris", &[], b"[[5.1, 3.5, 1.4, 0.2]]"),
        ("POST", "/predict/iris?top_k=1", &json, b"[[5.1, 3.5, 1.4, 0.2]]"),
        ("POST", "/predict/digits", &[], &seven),
        ("POST", "/predict/iris", &json, b"[[1"),
        ("POST", "/predict/none", &[], b""),
        ("DELETE", "/predict/iris", &[], b""),
        ("POST", "/v2/models/iris/infer", &json, b"{}"),
        ("GET", "/v2", &[("Accept", "*/*"), ("Proxy", "evil")], b""),
    ];
    for (method, target, headers, body) in requests {
        let expected = ask(&server, Wire::Uwsgi, method, target, headers, body);
        for wire in [Wire::FastCgi, Wire::Http] {
            let reply = ask(&server, wire, method, target, headers, body);
            let said = String::from_utf8_lossy(&reply.body).into_owned();
            assert_eq!(reply.status, expected.status, "{wire} {method} {target}: {said}");
            assert_eq!(reply.body, expected.body, "{wire} {method} {target}: {said}");
            for name in ["content-type", "allow", "retry-after"] {
                assert_eq!(reply.header(name), expected.header(name), "{wire} {method} {target}");
            }
        }
    }
}

#[test]
fn a_path_has_one_spelling_whichever_way_it_came() {
    let server = Server::start();
    let decoded = ask(&server, Wire::Uwsgi, "GET", "/nowhere/é/a-b c", &[], b"").error(404);
    assert_eq!(decoded, ask(&server, Wire::FastCgi, "GET", "/nowhere/é/a-b c", &[], b"").error(404));
    assert_eq!(decoded, ask(&server, Wire::Http, "GET", "/nowhere/%c3%A9/a%2Db%20c", &[], b"").error(404));
    assert_eq!(decoded, "there is nothing at /nowhere/%C3%A9/a-b%20c");
}

#[test]
fn a_header_given_twice_is_one_header_on_every_wire() {
    let server = Server::start();
    for wire in Wire::ALL {
        let reply = ask(&server, wire, "GET", "/v2", &[("X-Request-Id", "a"), ("X-Request-Id", "b")], b"");
        // Together they are no id, so that there is a new one.
        assert_eq!(reply.header("x-request-id").map(str::len), Some(32), "{wire}");
    }
}

#[test]
fn a_request_cut_anywhere_is_the_same_request() {
    let server = Server::start();
    for wire in Wire::ALL {
        let bytes = request(wire, "POST", "/predict/iris", &[], b"[[5.1, 3.5, 1.4, 0.2]]");
        for cut in 1..bytes.len() {
            let mut stream = connect(&server);
            stream.write_all(&bytes[..cut]).unwrap();
            stream.write_all(&bytes[cut..]).unwrap();
            answer(wire, &mut stream).ok();
        }
    }
}

#[test]
fn a_body_over_the_limit_is_refused_by_every_wire() {
    let server = Server::with("[limits]\nbody = '1MiB'");
    for wire in Wire::ALL {
        let mut stream = connect(&server);
        let bytes = request(wire, "POST", "/predict/iris", &[], &vec![b'x'; 3 << 20]);
        let mut sender = stream.try_clone().unwrap();
        // The server need not read to the end.
        let sending = std::thread::spawn(move || sender.write_all(&bytes));
        let error = answer(wire, &mut stream).error(413);
        assert!(error.contains("over the limit of 1048576"), "{wire}: {error}");
        drop(stream);
        let _ = sending.join().unwrap();
    }
}

#[test]
fn who_goes_on_sending_after_a_refusal_is_left_soon() {
    let server = Server::with("[limits]\nbody = '1MiB'");
    // FastCGI's connections are kept, and what comes of a refused request is skipped.
    for wire in [Wire::Uwsgi, Wire::Http] {
        let bytes = request(wire, "POST", "/predict/iris", &[], &vec![b'x'; 3 << 20]);
        let mut stream = connect(&server);
        stream.write_all(&bytes[..1024]).unwrap();
        let mut refusal = Vec::new();
        stream.read_to_end(&mut refusal).unwrap();
        Reply::parse(&refusal).error(413);
        let left = || stream.write_all(b"x").is_err();
        within(Duration::from_secs(10), &format!("{wire}: the server leaves"), left);
    }
}

/// As many answers as the kernel holds for a peer that does not read yet, one of them the refusal.
#[test]
fn a_refusal_waits_for_its_reader() {
    let server = Server::with("[limits]\nhead_timeout = '300ms'");
    let live = request(Wire::Http, "GET", "/v2/health/live?pipelined", &[], b"");
    let too_long = b"POST /predict/iris HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n";
    let ask = |lives: usize| {
        let mut stream = connect(&server);
        stream.write_all(&[&live.repeat(lives)[..], too_long].concat()).unwrap();
        stream
    };
    // Longer than a head may take, shorter than an answer may.
    let pause = || std::thread::park_timeout(Duration::from_secs(1));
    let unread = ask(1000);
    pause();
    let fit = server.process.count_lines("pipelined");
    assert!((10..1000).contains(&fit), "{fit}");
    drop(unread);
    // Several times, as it depends on the order in which a timer and the socket are looked at.
    let streams: Vec<_> = (fit - 2..fit + 1).cycle().take(24).map(|lives| (lives, ask(lives))).collect();
    pause();
    for (lives, mut stream) in streams {
        for _ in 0..lives {
            Reply::receive(&mut stream).ok();
        }
        Reply::receive(&mut stream).error(413);
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    }
}

#[test]
fn fastcgi_requests_are_served_at_the_same_time_and_aborted_alone() {
    let server = Server::with("[workers]\ncount = 2");
    let mut stream = connect(&server);
    let mut client = Client::new(1 << 30);
    let busy = format!(r#"{{"inputs": {{"rounds": 2000000000, "x": [[{}]]}}}}"#, vec!["0.5"; 256].join(","));
    stream.write_all(&fastcgi(&mut client, 7, "POST", "/predict/busy", &[], busy.as_bytes())).unwrap();
    // Answered while 7 runs, again and again on one connection.
    for id in [1, 2, 65535] {
        stream
            .write_all(&fastcgi(&mut client, id, "POST", "/predict/iris", &[], b"[[5.1, 3.5, 1.4, 0.2]]"))
            .unwrap();
        let (answered, stdout) = fastcgi_answer(&mut client, &mut stream);
        assert_eq!(answered, id);
        Reply::parse(&stdout).ok();
    }
    let mut abort = BytesMut::new();
    client.abort(7, &mut abort);
    stream.write_all(&abort).unwrap();
    let (answered, stdout) = fastcgi_answer(&mut client, &mut stream);
    assert_eq!((answered, stdout.len()), (7, 0));
    server.process.wait_for_line("the client went away");
    // Sixty-four at once, each its own answer.
    for id in 1..=64u16 {
        let body = format!("[[{id}.0, 0.0, 0.0, 0.0]]");
        stream
            .write_all(&fastcgi(&mut client, id, "POST", "/predict/half?x=1", &[], body.as_bytes()))
            .unwrap();
    }
    let mut answered: Vec<u16> = (0..64).map(|_| fastcgi_answer(&mut client, &mut stream).0).collect();
    answered.sort_unstable();
    assert_eq!(answered, (1..=64).collect::<Vec<_>>());
}

#[test]
fn a_get_values_is_answered_truthfully() {
    let server = Server::start();
    let mut stream = connect(&server);
    let mut client = Client::new(1 << 20);
    let mut output = BytesMut::new();
    client.values(&["FCGI_MAX_REQS", "FCGI_MPXS_CONNS", "X"], &mut output).unwrap();
    stream.write_all(&output).unwrap();
    let mut buffer = [0; 4096];
    let values = loop {
        if let Some(Event::Values(values)) = client.poll() {
            break values;
        }
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed without an answer");
        client.feed(&buffer[..read]).unwrap();
    };
    let expected = [("FCGI_MAX_REQS", "64"), ("FCGI_MPXS_CONNS", "1")];
    assert_eq!(values, expected.map(|(name, value)| (Bytes::from(name), Bytes::from(value))));
}

#[test]
fn http_keeps_its_connection_pipelines_and_takes_chunks() {
    let server = Server::start();
    let mut stream = connect(&server);
    let one = request(Wire::Http, "POST", "/predict/iris", &[], b"[[5.1, 3.5, 1.4, 0.2]]");
    stream.write_all(&one.repeat(3)).unwrap();
    for _ in 0..3 {
        Reply::receive(&mut stream).ok();
    }
    let chunked = b"POST /predict/iris HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
        6\r\n[[5.1,\r\nd\r\n 3.5, 1.4, 0.\r\n3\r\n2]]\r\n0\r\n\r\n";
    stream.write_all(chunked).unwrap();
    Reply::receive(&mut stream).ok();
    stream.write_all(b"HEAD /v2 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let head = Reply::receive_head(&mut stream);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_ne!(head.header("content-length"), Some("0"));
    // Nothing is sent before the body is asked for.
    stream
        .write_all(
            b"POST /predict/iris HTTP/1.1\r\nhost: x\r\ncontent-length: 22\r\nexpect: 100-continue\r\n\r\n",
        )
        .unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"[[5.1, 3.5, 1.4, 0.2]]").unwrap();
    Reply::receive(&mut stream).ok();
}

#[test]
fn slow_and_idle_peers_are_closed_on_every_wire() {
    /// Several times what they may take.
    const SOON: Duration = Duration::from_secs(5);
    let limits = "[limits]\nhead_timeout = '300ms'\nbody_timeout = '300ms'\nidle_timeout = '600ms'";
    let server = Server::with(limits);
    for wire in Wire::ALL {
        let bytes = request(wire, "POST", "/predict/iris", &[], b"[[5.1, 3.5, 1.4, 0.2]]");
        // Nothing, the start of a head, all but the end of the body.
        for cut in [0, 1, 20, bytes.len() - 9] {
            let begun = Instant::now();
            let mut stream = connect(&server);
            stream.write_all(&bytes[..cut]).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert!(begun.elapsed() < SOON, "{wire}, {cut} bytes: {:?}", begun.elapsed());
            if cut == bytes.len() - 9 {
                let text = String::from_utf8_lossy(&rest);
                assert!(text.contains("408") && text.contains("did not come in time"), "{wire}: {text}");
            }
        }
        if wire == Wire::Uwsgi {
            continue;
        }
        // A kept connection, and then nothing.
        let mut stream = connect(&server);
        stream.write_all(&bytes).unwrap();
        answer(wire, &mut stream).ok();
        let begun = Instant::now();
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "{wire}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(500) && took < SOON, "{wire}: {took:?}");
    }
}

#[test]
fn strangers_are_told_apart_in_the_log() {
    let server = Server::start();
    let narrow = Server::with("wires = ['uwsgi', 'fastcgi']");
    for (server, bytes, says) in [
        (&server, &b"\x16\x03\x01\x02\x00\x01"[..], "the peer speaks TLS"),
        (&server, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY protocol header"),
        (&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 without TLS"),
        (&server, b"\x05\x00\x00\x00", "modifier 5 is unavailable"),
        (&narrow, b"GET / HTTP/1.0\r\n\r\n", "use uwsgi_pass or fastcgi_pass"),
    ] {
        let mut stream = connect(server);
        stream.write_all(bytes).unwrap();
        let answer = to_the_end(&mut stream);
        assert!(server.process.wait_for_line(says).contains("turned away"));
        if bytes.starts_with(b"GET") {
            Reply::parse(&answer).error(400);
        } else {
            assert_eq!(answer, b"");
        }
    }
}

#[test]
fn a_kept_connection_ends_with_its_next_answer_in_a_drain() {
    for wire in [Wire::FastCgi, Wire::Http] {
        let mut server = Server::start();
        let mut stream = connect(&server);
        let bytes = request(wire, "GET", "/v2/health/live", &[], b"");
        stream.write_all(&bytes).unwrap();
        answer(wire, &mut stream).ok();
        server.process.signal("TERM");
        server.process.wait_for_line("answering what was accepted");
        stream.write_all(&bytes).unwrap();
        let last = answer(wire, &mut stream);
        last.ok();
        if wire == Wire::Http {
            assert_eq!(last.header("connection"), Some("close"));
        }
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
        assert_eq!(server.process.wait().code(), Some(0));
    }
}

/// Descriptors and kilobytes of memory that a process has.
pub(crate) fn held(server: &Server) -> (usize, usize) {
    let proc = format!("/proc/{}", server.process.id());
    let descriptors = std::fs::read_dir(format!("{proc}/fd")).unwrap().count();
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (descriptors, memory.trim().trim_end_matches(" kB").parse().unwrap())
}

#[test]
fn a_hundred_thousand_bad_connections_leave_nothing_behind() {
    let server = Server::with("[log]\nlevel = 'error'\naccess = false");
    let bad: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\x00".to_vec(),
        b"\x00\xff\xff\x00abc".to_vec(),
        b"\x00\x04\x00\x00\xff\xffab".to_vec(),
        b"\x01".to_vec(),
        b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec(),
        b"\x01\x05\x00\x00\x00\x00\x00\x00".to_vec(),
        b"\x02\x01\x00\x01".to_vec(),
        b"GET".to_vec(),
        b"GET / HTTP/1.1\r\n: \r\n\r\n".to_vec(),
        b"\x16\x03\x01".to_vec(),
        packet("POST", "/predict/iris", &[], 1 << 20),
    ];
    let storm = |count: usize| {
        for at in 0..count {
            let mut stream = UnixStream::connect(server.socket()).unwrap();
            let _ = stream.write_all(&bad[at % bad.len()]);
        }
        // The server has caught up once it answers, since it accepts in order.
        server.get("/v2/health/live").ok();
    };
    storm(10_000);
    let (descriptors, memory) = held(&server);
    storm(100_000);
    eventually("no more descriptors than before", || held(&server).0 <= descriptors);
    let now = held(&server).1;
    assert!(now < memory + 20_000, "{now} kB, {memory} kB before");
}

/// However it is spread over connections and requests.
#[test]
fn requests_under_way_hold_no_more_memory_than_allowed() {
    let server = Server::with("[limits]\nin_flight = '1MiB'\nbody = '1MiB'");
    let row: Vec<u8> = [5.1f32, 3.5, 1.4, 0.2].iter().flat_map(|x| x.to_le_bytes()).collect();
    let body = row.repeat(700 * 1024 / row.len());
    for wire in Wire::ALL {
        let bytes = request(
            wire,
            "POST",
            "/predict/iris?top_k=1",
            &[("content-type", "application/octet-stream")],
            &body,
        );
        let ask = || {
            let mut stream = connect(&server);
            stream.write_all(&bytes).unwrap();
            answer(wire, &mut stream)
        };
        ask().ok();
        let mut half = connect(&server);
        half.write_all(&bytes[..bytes.len() - 1000]).unwrap();
        let mut refused = ask();
        eventually("it is refused", || {
            refused = ask();
            refused.status != 200
        });
        assert_eq!(refused.header("retry-after"), Some("1"), "{wire}");
        assert!(refused.error(503).contains("fill the memory there is for them"), "{wire}");
        server.post("/predict/iris", "[[5.1, 3.5, 1.4, 0.2]]").ok();
        half.write_all(&bytes[bytes.len() - 1000..]).unwrap();
        answer(wire, &mut half).ok();
        ask().ok();
    }
}
