//! Starting and stopping.

mod as_root;
mod logs;
mod signals;
mod stop;
mod surroundings;
pub(crate) mod systemd;
mod traffic;
mod upgrade;

use crate::{
    harness::{Server, eventually, packet, predictd},
    process::signal,
    wires::connect,
};
use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};
use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
};

/// What is in a folder.
fn files(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut files: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
    files.sort();
    files
}

/// A server that says in its folder which process it is.
fn with_pidfile(config: &str) -> Server {
    let server = Server::with_folder(config, |folder, command| {
        command.env("PREDICTD_PIDFILE", folder.join("pid"));
    });
    // It listens a moment before.
    server.process.wait_for_line(READY);
    server
}

const READY: &str = "phase=\"ready\"";

/// A configuration in `folder`, of the sample models.
fn configure_at(folder: &Path, config: &str) -> PathBuf {
    let path = folder.join("predictd.toml");
    let models = crate::harness::samples();
    fs::write(&path, format!("models = '{}'\nadmin = ''\n{config}", models.display())).unwrap();
    path
}

/// A process that is not our child; killed on drop.
struct Other(u32);

impl Other {
    /// As a line of the log calls it: "process 123 ...".
    fn of(line: &str) -> Self {
        let number = line.split("process ").nth(1).and_then(|rest| rest.split(' ').next());
        Self(number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}")))
    }

    fn signal(&self, name: &str) {
        signal(self.0, name).unwrap();
    }

    fn is_gone(&self) -> bool {
        // Whoever has inherited it may take its time to collect it.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    }

    #[track_caller]
    fn wait_until_gone(&self) {
        eventually("it ends", || self.is_gone());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        if !self.is_gone() {
            let _ = signal(self.0, "KILL");
        }
    }
}

/// A model whose loading waits until it is let through, each time: its labels are read from a pipe.
struct Gate {
    folder: tempfile::TempDir,
}

impl Gate {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("gated");
        fs::create_dir(&model).unwrap();
        fs::copy(crate::harness::source("models/iris/model.onnx"), model.join("model.onnx")).unwrap();
        let settings = "[output]\nkind = 'classification'\ntensor = 'probabilities'\nlabels = 'gate'";
        fs::write(model.join("model.toml"), settings).unwrap();
        let made = Command::new("mkfifo").arg(model.join("gate")).status().unwrap();
        assert!(made.success());
        Self { folder }
    }

    fn model(&self) -> PathBuf {
        self.folder.path().join("gated")
    }

    /// Waits until a server is there, and lets it through.
    #[track_caller]
    fn open(&self) {
        let gate = self.model().join("gate");
        eventually("a server reads its labels", || {
            // Without NONBLOCK, nobody would wake us who never comes.
            match open(&gate, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()) {
                Ok(gate) => fs::File::from(gate).write_all(b"a\nb\nc\n").is_ok(),
                Err(error) => {
                    assert_eq!(error, Errno::NXIO, "nobody has it open to read");
                    false
                }
            }
        });
    }

    /// A server that has been let through.
    fn server(&self, config: &str) -> Server {
        std::thread::scope(|scope| {
            scope.spawn(|| self.open());
            Server::with_folder(config, |folder, command| {
                command.env("PREDICTD_PIDFILE", folder.join("pid"));
                command.arg("--model").arg(format!("gated={}", self.model().display()));
            })
        })
    }
}

#[test]
fn the_socket_has_its_mode_and_is_gone_after_a_clean_end() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::with("[socket]\nmode = '0600'");
        let mode = fs::metadata(server.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        server.process.signal(signal);
        assert_eq!(server.process.wait().code(), Some(0));
        let left: Vec<_> =
            fs::read_dir(server.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["predictd.toml"]);
    }
}

#[test]
fn what_was_accepted_is_answered_before_the_end() {
    let mut server = Server::start();
    let body = format!(r#"{{"inputs": {{"rounds": 100000, "x": [[{}]]}}}}"#, vec!["0.5"; 256].join(","));
    let mut running = connect(&server);
    running
        .write_all(&[&packet("POST", "/predict/busy", &[], body.len())[..], body.as_bytes()].concat())
        .unwrap();
    // Half a request: accepted as well.
    let request = packet("GET", "/v2/health/ready", &[], 0);
    let mut half = connect(&server);
    half.write_all(&request[..10]).unwrap();
    // Accepted in the order of their connections.
    server.get("/v2/health/live").ok();

    server.process.signal("TERM");
    server.process.wait_for_line("SIGTERM: answering what was accepted");
    half.write_all(&request[10..]).unwrap();
    let mut answer = Vec::new();
    half.read_to_end(&mut answer).unwrap();
    assert_eq!(crate::harness::Reply::parse(&answer).status, 503);
    answer.clear();
    running.read_to_end(&mut answer).unwrap();
    crate::harness::Reply::parse(&answer).ok();
    assert_eq!(server.process.wait().code(), Some(0));
    assert!(UnixStream::connect(server.socket()).is_err());
}

#[test]
fn in_a_drain_the_server_lives_and_is_not_ready() {
    let mut server = Server::start();
    let mut halves: Vec<_> = ["/v2/health/live", "/v2/health/ready", "/v2/models/iris/ready"]
        .into_iter()
        .map(|target| {
            let request = packet("GET", target, &[], 0);
            let mut stream = connect(&server);
            stream.write_all(&request[..10]).unwrap();
            (stream, request)
        })
        .collect();
    server.get("/v2/health/ready").ok();
    server.process.signal("TERM");
    server.process.wait_for_line("SIGTERM: answering what was accepted");
    let answers: Vec<_> = halves
        .iter_mut()
        .map(|(stream, request)| {
            stream.write_all(&request[10..]).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            let reply = crate::harness::Reply::parse(&answer);
            (reply.status, reply.json())
        })
        .collect();
    let expected = [
        (200, serde_json::json!({ "live": true })),
        (503, serde_json::json!({ "live": true, "ready": false })),
        (200, serde_json::json!({ "name": "iris", "ready": true })),
    ];
    assert_eq!(answers, expected);
    assert_eq!(server.process.wait().code(), Some(0));
}

#[test]
fn a_drain_has_an_end() {
    let mut server = Server::with("[limits]\ndrain = '300ms'");
    let body = format!(r#"{{"inputs": {{"rounds": 2000000000, "x": [[{}]]}}}}"#, vec!["0.5"; 256].join(","));
    let mut running = connect(&server);
    running
        .write_all(&[&packet("POST", "/predict/busy", &[], body.len())[..], body.as_bytes()].concat())
        .unwrap();
    server.get("/v2/health/live").ok();
    server.process.signal("TERM");
    server.process.wait_for_line("what is left is cancelled");
    assert_eq!(server.process.wait().code(), Some(0));
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut server = Server::start();
    let mut open = connect(&server);
    open.write_all(&[0]).unwrap();
    server.get("/v2/health/live").ok();
    server.process.signal("TERM");
    server.process.wait_for_line("answering what was accepted");
    server.process.signal("INT");
    assert_eq!(server.process.wait().code(), Some(130));
}

#[test]
fn a_socket_that_is_served_is_not_taken() {
    let server = Server::start();
    let output = predictd()
        .args(["serve", "--admin", "", "--models"])
        .arg(crate::harness::samples())
        .arg("--listen")
        .arg(format!("unix:{}", server.socket().display()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.matches("another server answers there").count(), 1, "{error}");
    server.get("/v2/health/live").ok();
}

#[test]
fn a_socket_left_by_a_killed_server_is_replaced() {
    let first = Server::start();
    let socket = first.socket();
    first.process.signal("KILL");
    let kept = first.folder.path().to_owned();
    let Server { folder, mut process } = first;
    process.wait();
    assert!(socket.exists() && kept.exists());
    let mut command = predictd();
    command.args(["serve", "--admin", "", "--models"]).arg(crate::harness::samples());
    command.arg("--listen").arg(format!("unix:{}", socket.display()));
    let process = crate::harness::Process::start(command);
    process.wait_for_line("ready");
    Server { folder, process }.get("/v2/health/ready").ok();
}
