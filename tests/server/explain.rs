//! Lines that a real nginx writes of real failures, each explained by `predictd doctor --explain`.

use crate::harness::{Nginx, Server, free_port, is_root, predictd};
use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Stdio,
    thread,
};

/// nginx in front of a socket that a test misuses.
struct Front {
    nginx: Nginx,
}

impl Front {
    /// With this in its `http` block, where SOCKET is the socket's path; as another user, if one is given.
    fn with(text: &str, user: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(folder.path().join("private")).unwrap();
        let port = free_port();
        let socket = format!("unix:{}", folder.path().join("private/s.sock").display());
        let text = text.replace("SOCKET", &socket).replace("LISTEN", &format!("listen 127.0.0.1:{port};"));
        let http = format!("include uwsgi_params; include fastcgi_params; {text}");
        Self { nginx: Nginx::start(folder, port, &http, user) }
    }

    fn socket(&self) -> PathBuf {
        self.nginx.folder.path().join("private/s.sock")
    }

    /// Asks, and gives the status of the answer.
    fn ask(&self, headers: &[(&str, &str)], body: &[u8]) -> u16 {
        self.nginx.ask_anyone("POST", "/x", headers, body).status
    }

    /// The line that nginx wrote, and what doctor says of it.
    #[track_caller]
    fn explained(&self, line: &str, expected: &[&str]) {
        let line = self.nginx.process.wait_for_line(line);
        let said = explain(&line);
        for part in expected {
            assert!(said.contains(part), "{part} is not in\n{said}\nfor {line}");
        }
    }
}

/// What doctor says of a line, its breaks taken out.
fn explain(line: &str) -> String {
    let mut command = predictd();
    command.args(["doctor", "--explain", "-", "--nginx", "/dev/null"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A folder that nobody may enter, until this is dropped.
struct Closed<'a>(&'a Path);

impl<'a> Closed<'a> {
    fn to_its_owner_too(folder: &'a Path) -> Self {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o000)).unwrap();
        Self(folder)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let _ = fs::set_permissions(self.0, fs::Permissions::from_mode(0o700));
    }
}

const PASS: &str = "server { LISTEN location / { uwsgi_pass SOCKET; } }";

/// Serves each connection by `serve` on a thread of its own, which ends with the test.
fn serve(path: &Path, serve: impl Fn(UnixStream) + Send + 'static) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
}

/// Reads a uwsgi packet, so that nothing is unread when the connection is closed.
fn read_request(stream: &mut UnixStream) {
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut vars = vec![0; usize::from(u16::from_le_bytes([head[1], head[2]]))];
    stream.read_exact(&mut vars).unwrap();
}

#[test]
fn a_socket_that_is_not_there_refuses_or_is_stale() {
    let front = Front::with(PASS, None);
    assert_eq!(front.ask(&[], b""), 502);
    front.explained(
        "(2: No such file or directory)",
        &["there is no socket at the path", "nobody listens on unix:", "systemctl start predictd"],
    );
    drop(UnixListener::bind(front.socket()).unwrap());
    front.ask(&[], b"");
    front.explained(
        "(111: Connection refused)",
        &["nobody listens where nginx connects", "left by a server that is gone"],
    );
}

#[test]
fn a_socket_that_nginx_may_not_open() {
    // Nothing is closed to root.
    let front = Front::with(PASS, is_root().then_some("nobody"));
    let private = front.nginx.folder.path().join("private");
    serve(&front.socket(), |mut stream| _ = stream.write_all(b"\x64\0\0\x01"));
    let _closed = Closed::to_its_owner_too(&private);
    assert_eq!(front.ask(&[], b""), 502);
    front.explained(
        "(13: Permission denied)",
        &["nginx's user may not connect to the socket", "x on each folder"],
    );
    // And with nginx's user known, doctor names the folder.
    let conf = front.nginx.folder.path().join("user.conf");
    fs::write(&conf, "user nobody nogroup; http { }").unwrap();
    let line = front.nginx.process.wait_for_line("(13: Permission denied)");
    let output = predictd().args(["doctor", "--explain", &line, "--nginx"]).arg(&conf).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let class = if is_root() { "o" } else { "u" };
    let fix = format!("chmod {class}+x {}", fs::canonicalize(&private).unwrap().display());
    assert!(said.contains(&fix), "{said}");
}

#[test]
fn a_queue_that_is_full() {
    let front = Front::with(PASS, None);
    let listener = UnixListener::bind(front.socket()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _waiting = UnixStream::connect(front.socket()).unwrap();
    assert_eq!(front.ask(&[], b""), 502);
    front.explained(
        "(11: Resource temporarily unavailable)",
        &["the server's queue of connections is full", "the queue of unix:", "1 wait, 0 may"],
    );
}

#[test]
fn a_server_that_closes_resets_or_says_too_little() {
    let front = Front::with(PASS, None);
    serve(&front.socket(), |mut stream| {
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        let mut size = [0; 3];
        stream.read_exact(&mut size).unwrap();
        let mut vars = vec![0; usize::from(u16::from_le_bytes([size[0], size[1]]))];
        stream.read_exact(&mut vars).unwrap();
        let vars = String::from_utf8_lossy(&vars).into_owned();
        if vars.contains("half") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        } else if vars.contains("large") {
            let _ =
                stream.write_all(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(9000)).as_bytes());
        } else if vars.contains("broken") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n");
        } else if vars.contains("longer") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nlonger");
        }
    });
    assert_eq!(front.ask(&[("X-Want", "nothing")], b""), 502);
    front.explained(
        "upstream prematurely closed connection while reading response header",
        &["the server closed the connection without an answer", "held by another program"],
    );
    front.ask(&[("X-Want", "half")], b"");
    front.explained(
        "upstream prematurely closed connection while reading upstream",
        &["shorter than its Content-Length"],
    );
    assert_eq!(front.ask(&[("X-Want", "large")], b""), 502);
    front.explained("upstream sent too big header", &["larger than nginx's buffer", "uwsgi_buffer_size"]);
    assert_eq!(front.ask(&[("X-Want", "broken")], b""), 502);
    front.explained("upstream sent invalid header", &["not of the protocol that nginx expects"]);
    front.ask(&[("X-Want", "longer")], b"");
    front.explained("upstream sent more data", &["longer than its Content-Length"]);
}

#[test]
fn a_server_that_resets_the_connection() {
    let front = Front::with(PASS, None);
    serve(&front.socket(), |mut stream| _ = stream.read_exact(&mut [0; 2]));
    assert_eq!(front.ask(&[], b""), 502);
    front.explained("(104: Connection reset by peer)", &["closed the connection with something unread"]);
}

#[test]
fn a_server_that_does_not_answer_in_time() {
    let front = Front::with(&PASS.replace("uwsgi_pass", "uwsgi_read_timeout 1s; uwsgi_pass"), None);
    serve(&front.socket(), |mut stream| {
        read_request(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    assert_eq!(front.ask(&[], b""), 504);
    front.explained("upstream timed out (110", &["no answer within nginx's read timeout"]);
}

#[test]
fn requests_that_nginx_itself_refuses() {
    let text = "client_max_body_size 1k; large_client_header_buffers 8 64k;";
    let front = Front::with(&PASS.replace("LISTEN", &format!("LISTEN {text}")), None);
    serve(&front.socket(), |mut stream| _ = stream.read(&mut [0; 1024]));
    assert_eq!(front.ask(&[], &[b'x'; 2048]), 413);
    front.explained("client intended to send too large body", &["the body is over client_max_body_size"]);
    let header = "x".repeat(40_000);
    assert_eq!(front.ask(&[("A", &header), ("B", &header)], b""), 500);
    front.explained("uwsgi request is too big", &["the headers of the request are over 64 KiB"]);
}

#[test]
fn a_group_of_which_nobody_is_left() {
    let text =
        "upstream p { server SOCKET; server SOCKET.2; } server { LISTEN location / { uwsgi_pass p; } }";
    let front = Front::with(text, None);
    assert_eq!(front.ask(&[], b""), 502);
    assert_eq!(front.ask(&[], b""), 502);
    front.explained("no live upstreams", &["nginx has marked all servers of the group down"]);
    front.explained("upstream server temporarily disabled", &["marked a server of the group down"]);
}

#[test]
fn a_server_of_another_protocol() {
    let front = Front::with(&PASS.replace("uwsgi_pass", "fastcgi_pass"), None);
    serve(&front.socket(), |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(front.ask(&[], b""), 502);
    front.explained("upstream sent unsupported FastCGI protocol version: 72", &["the answer is not FastCGI"]);
}

#[test]
fn what_predictd_itself_says_of_strangers() {
    let server = Server::with("wires = ['uwsgi']");
    for (bytes, line, expected) in [
        (&b"\x16\x03\x01\x00\xff"[..], "speaks TLS", "leaves that to nginx"),
        (
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY protocol",
            "the front end sends a PROXY protocol header",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2", "somebody speaks HTTP/2 to predictd"),
        (
            b"GET / HTTP/1.0\r\n\r\n",
            "this is HTTP",
            "the pass directive speaks a protocol that `wires` leaves out",
        ),
        (b"\x05\x00\x00\x00", "unavailable modifier", "a uwsgi packet asks for a plugin"),
    ] {
        UnixStream::connect(server.socket()).unwrap().write_all(bytes).unwrap();
        let said = explain(&server.process.wait_for_line(line));
        assert!(said.contains(expected), "{line}: {said}");
    }
}

#[test]
fn a_line_that_is_not_known_is_said_to_be_so() {
    let output = predictd().args(["doctor", "--explain", "all is well"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(
        String::from_utf8(output.stderr).unwrap().contains("no line of nginx's, predictd's or uWSGI's log")
    );
}
