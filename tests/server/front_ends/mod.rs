//! Real front ends before a real predictd: the same cases through each, driven by curl.
//!
//! What a front end cannot do, or does in its own way, is one of its [`Quirk`]s, and the cases hold it to that too.

mod apache;
mod cases;
mod clients;
mod haproxy;
mod lighttpd;
mod nginx;

use crate::harness::{PATIENCE, Process, Reply, Server, eventually, free_port, program};
use std::{
    any::Any,
    fs,
    io::Write,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

/// `limits.body` of the predictd behind.
const BODY_LIMIT: usize = 9 << 20;

/// What a front end cannot do, or does in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quirk {
    /// Passes an upload on when it is complete: of one that is cut off, predictd never hears.
    HoldsUploads,
    /// Passes nothing on before the body is complete or there is so much of it: until then a socket that logs what
    /// comes sees not even a connection.
    WaitsForBody { bytes: usize },
    /// Passes the head on at once, but reads no answer before the upload has ended: it sits in a `poll` of its
    /// client's socket alone, while the answer lies in the other.
    ReadsAfterUpload,
    /// Passes an early answer of known length on at once and in full, but does not close its client's connection
    /// before the upload has ended, whether the server behind shuts its side down, closes, or does nothing.
    KeepsRefused,
    /// Answers a chunked upload that is longer than this by itself.
    RefusesChunked { longer_than: usize, status: u16 },
    /// Does not look after its client while it waits for an answer: a run ends at its deadline.
    DeafWhileWaiting,
    /// Answers a path with an encoded slash by itself, with 404.
    RefusesEncodedSlash,
    /// Takes the Content-Length off an answer and sends it in chunks.
    DropsLength,
}

/// A front end and the predictd behind it, ended on drop.
struct FrontEnd {
    port: u16,
    quirks: &'static [Quirk],
    running: Box<dyn Any + Send + Sync>,
    server: Server,
}

impl FrontEnd {
    /// By the command that `configure` makes of a temporary folder, the server, and the port to listen on.
    fn start(quirks: &'static [Quirk], configure: impl FnOnce(&Path, &Server, u16) -> Command) -> Self {
        let server = server();
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut process = Process::start(configure(folder.path(), &server, port));
        process.wait_until_it_listens(port);
        // The process goes first, then its folder.
        Self { port, quirks, running: Box::new((process, folder)), server }
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// Connections that predictd has open.
    fn connections(&self) -> usize {
        connections(&self.server)
    }

    fn url(&self, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.port)
    }

    /// curl's output.
    fn curl(&self, arguments: &[&str], body: &[u8]) -> Vec<u8> {
        let mut command = Command::new(program("curl"));
        // No configuration of the user's, and no proxy.
        command.args(["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time"]);
        command.arg(PATIENCE.as_secs().to_string()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut curl = command.spawn().unwrap();
        // It reads all of it before it connects.
        curl.stdin.take().unwrap().write_all(body).unwrap();
        let output = curl.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl {arguments:?}: {}: {errors}", output.status);
        output.stdout
    }

    /// Anybody's answer.
    fn ask_anyone(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Reply {
        let url = self.url(target);
        let mut arguments = vec!["--include"];
        match method {
            "GET" => {}
            "HEAD" => arguments.push("--head"),
            "POST" => arguments.extend(["--data-binary", "@-"]),
            _ => arguments.extend(["--request", method]),
        }
        for header in headers {
            arguments.extend(["--header", header]);
        }
        arguments.push(&url);
        let output = self.curl(&arguments, body);
        let mut answer = &output[..];
        while answer.starts_with(b"HTTP/1.1 100 ") {
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            answer = &answer[end + 4..];
        }
        Reply::read(answer)
    }

    /// predictd's answer, by which a front end changes nothing that matters.
    #[track_caller]
    fn ask(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Reply {
        let reply = self.ask_anyone(method, target, headers, body);
        let lengths = reply.headers.iter().filter(|(name, _)| name == "content-length").count();
        let expected = usize::from(!self.has(Quirk::DropsLength));
        assert_eq!(lengths, expected, "{method} {target}: {:?}", reply.headers);
        let ids = reply.headers.iter().filter(|(name, _)| name == "x-request-id").count();
        assert_eq!(ids, 1, "{method} {target}: {} {:?}", reply.status, reply.headers);
        reply
    }

    #[track_caller]
    fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Reply {
        self.ask("POST", target, &[], body.as_ref())
    }

    /// Sends the beginning of a request, on a connection that the caller may break.
    fn begin(&self, target: &str, length: usize, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        stream
    }
}

/// Every case, in an order that lets the connections be counted.
fn check(front_end: FrontEnd) {
    cases::an_upload_that_is_cut_off_is_forgotten(&front_end);
    cases::head_says_what_get_does(&front_end);
    cases::a_path_comes_through_as_it_was(&front_end);
    cases::a_small_body_is_answered(&front_end);
    cases::a_large_body_comes_through_whole(&front_end);
    cases::a_chunked_body_is_a_body(&front_end);
    cases::repeated_headers_do_no_harm(&front_end);
    cases::a_request_id_comes_through(&front_end);
    cases::a_body_over_the_limit_is_told_so(&front_end);
    cases::a_body_over_the_limit_is_refused_before_it_comes(&front_end);
    cases::a_connection_is_kept(&front_end);
    cases::a_run_that_nobody_waits_for_is_ended(&front_end);
    cases::an_answer_that_nobody_takes_is_dropped(&front_end);
    cases::sixteen_clients_at_once_get_each_its_own_answer(&front_end);
    end(front_end);
}

/// Without its front end, predictd has no connection left.
fn end(front_end: FrontEnd) {
    let FrontEnd { running, server, .. } = front_end;
    drop(running);
    eventually("the front end's connections are closed", || connections(&server) == 0);
    server.get("/v2/health/ready").ok();
}

/// One worker, which a slow run keeps to itself.
fn server() -> Server {
    Server::with(&format!(
        "[limits]
        body = '{BODY_LIMIT}B'
        [workers]
        count = 1
        slow_after = '60s'
        [socket]
        mode = '0666'"
    ))
}

/// Connections to predictd's socket that it has not closed.
fn connections(server: &Server) -> usize {
    let (socket, table) = (server.socket(), fs::read_to_string("/proc/net/unix").unwrap());
    let sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The state is 1 for the listener; accepted ones are connected, 3.
    sockets
        .filter(|words| words.get(7).is_some_and(|path| socket == Path::new(path)) && words[5] == "03")
        .count()
}
