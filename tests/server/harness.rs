//! The program in a temporary folder, nginx in front of it, and something to ask them with.

mod nginx;
mod terminal;

pub(crate) use self::nginx::{Nginx, Pass, copy_params};
pub(crate) use self::terminal::Terminal;
pub(crate) use crate::process::Process;

use bytes::BytesMut;
use predictd_protocol::gateway::uwsgi;
use serde_json::Value;
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::{fs::symlink, net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// How long anything may take here before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what is bound to come.
#[track_caller]
pub(crate) fn eventually(what: &str, done: impl FnMut() -> bool) {
    within(PATIENCE, what, done);
}

/// The same where it has to come sooner.
#[track_caller]
pub(crate) fn within(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "{limit:?} in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A file of the source.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) fn read(path: &str) -> Vec<u8> {
    fs::read(source(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A folder of the sample models, whatever else a developer has fetched into theirs.
pub(crate) fn samples() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("samples");
    fs::create_dir_all(&folder).unwrap();
    for name in ["digits", "iris"] {
        let (link, model) = (folder.join(name), source("models").join(name));
        if !fs::read_link(&link).is_ok_and(|to| to == model) {
            // Put there at once, as other tests may be looking.
            let aside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            symlink(model, aside.path().join(name)).unwrap();
            fs::rename(aside.path().join(name), link).unwrap();
        }
    }
    folder
}

/// Where a program is that the tests cannot do without.
#[track_caller]
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where an ordinary user's PATH does not look.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed here: scripts/setup.sh {name}"))
}

/// Where a program is that scripts/setup.sh puts into a place of its own.
#[track_caller]
pub(crate) fn tool(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let file = target.join("tools/bin").join(name);
    assert!(file.is_file(), "there is no {}: scripts/setup.sh puts it there", file.display());
    file
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn predictd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_predictd"));
    command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command
}

/// An address that needs no file, and is nobody else's.
pub(crate) fn abstract_socket(name: &str) -> String {
    format!("unix:@predictd-test-{name}-{}", std::process::id())
}

/// A running predictd, ended on drop.
pub(crate) struct Server {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) process: Process,
}

impl Server {
    /// Serves the sample models and those of the tests' data.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// The same with more configuration.
    pub(crate) fn with(config: &str) -> Self {
        Self::with_arguments(config, |_| {})
    }

    /// The same with more arguments.
    pub(crate) fn with_arguments(config: &str, more: impl FnOnce(&mut Command)) -> Self {
        Self::with_folder(config, |_, command| more(command))
    }

    /// The same where these are about its folder.
    pub(crate) fn with_folder(config: &str, more: impl FnOnce(&Path, &mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("predictd.toml"), config).unwrap();
        let mut command = predictd();
        command.args(["serve", "--config"]).arg(folder.path().join("predictd.toml"));
        command.arg("--listen").arg(format!("unix:{}", folder.path().join("predictd.sock").display()));
        command.arg("--admin").arg(format!("unix:{}", folder.path().join("admin.sock").display()));
        command.arg("--models").arg(samples());
        for model in fs::read_dir(source("tests/data/models")).unwrap() {
            let path = model.unwrap().path();
            command.arg("--model").arg(format!("{}={}", path.file_name().unwrap().display(), path.display()));
        }
        more(folder.path(), &mut command);
        let mut server = Self { folder, process: Process::start(command) };
        server.process.wait_until("it listens", || {
            UnixStream::connect(server.folder.path().join("predictd.sock")).is_ok()
        });
        server
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("predictd.sock")
    }

    /// Asks by uwsgi, without nginx between.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let stream = UnixStream::connect(self.socket()).unwrap();
        ask_on(stream, method, target, headers, body)
    }

    /// The most memory that it has had at once, in bytes.
    pub(crate) fn peak(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[], b"")
    }

    pub(crate) fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Reply {
        self.ask("POST", target, &[], body.as_ref())
    }
}

pub(crate) fn packet(method: &str, target: &str, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut vars = vec![
        ("REQUEST_METHOD".to_owned(), method.to_owned()),
        ("PATH_INFO".to_owned(), path.to_owned()),
        ("QUERY_STRING".to_owned(), query.to_owned()),
        ("CONTENT_LENGTH".to_owned(), length.to_string()),
    ];
    for (name, value) in headers {
        let name = name.to_uppercase().replace('-', "_");
        let name = if name == "CONTENT_TYPE" { name } else { format!("HTTP_{name}") };
        vars.push((name, (*value).to_owned()));
    }
    let mut packet = BytesMut::new();
    uwsgi::encode(vars.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), &mut packet).unwrap();
    packet.to_vec()
}

pub(crate) fn ask_on(
    mut stream: UnixStream,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[&packet(method, target, headers, body.len()), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Reply::parse(&answer)
}

/// What comes until the connection is closed, be it with something unread.
#[track_caller]
pub(crate) fn to_the_end(stream: &mut impl Read) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let is_open = read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    assert!(!is_open, "it is not closed, after {} bytes", answer.len());
    answer
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Takes an answer of predictd apart, and checks what must hold for each.
    pub(crate) fn parse(answer: &[u8]) -> Self {
        Self::read(answer).checked()
    }

    fn checked(self) -> Self {
        let headers = &self.headers;
        assert_eq!(headers.iter().filter(|(name, _)| name == "content-length").count(), 1, "{headers:?}");
        assert!(self.header("x-request-id").is_some(), "{headers:?}");
        self
    }

    /// Reads one answer of a connection that may go on, by its length.
    pub(crate) fn receive(stream: &mut impl Read) -> Self {
        let mut reply = Self::receive_head(stream);
        let length = reply.header("content-length").unwrap().parse().unwrap();
        reply.body.resize(length, 0);
        stream.read_exact(&mut reply.body).unwrap();
        reply
    }

    /// Reads one answer that has no body.
    pub(crate) fn receive_head(stream: &mut impl Read) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        Self::parse(&head)
    }

    /// Takes anybody's answer apart.
    pub(crate) fn read(answer: &[u8]) -> Self {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head") + 4;
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Self { status, headers, body: answer[end..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {text}: {error}", self.status))
    }

    /// The JSON of a 200.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// A 200, be it without a body.
    #[track_caller]
    pub(crate) fn ok_or_empty(&self) {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
    }

    /// The text of an error, which must not tell what is none of the client's business.
    #[track_caller]
    pub(crate) fn error(&self, status: u16) -> String {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{text}");
        let json = self.json();
        let error = json["error"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned();
        assert_eq!(json.as_object().unwrap().len(), 1, "{text}");
        for secret in [".cc", ".rs:", "::", env!("CARGO_MANIFEST_DIR"), "/tmp", "onnxruntime_src", "const "] {
            assert!(!error.contains(secret), "{error}");
        }
        error
    }
}

/// Asks predictd by HTTP, with these headers and no others.
pub(crate) fn by_http(
    stream: impl Read + Write,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    anyone_by_http(stream, method, target, headers, body).checked()
}

/// The same of whoever answers.
fn anyone_by_http(
    mut stream: impl Read + Write,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    Reply::read(&to_the_end(&mut stream))
}

/// Raises the flag when it is dropped, where a check has failed too: what goes on in the background until then ends.
pub(crate) struct Ending<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
