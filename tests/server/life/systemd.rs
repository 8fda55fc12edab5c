//! systemd's side of it, played: sockets that are handed over, and a socket that states are told to.

use super::{configure_at, eventually, traffic::Traffic};
use crate::harness::{Nginx, PATIENCE, Pass, Process, predictd};
use std::{
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

/// Hears what a service says.
pub(super) struct ServiceManager {
    socket: UnixDatagram,
    pub(super) path: PathBuf,
    heard: Mutex<Vec<String>>,
}

impl ServiceManager {
    pub(super) fn new(folder: &Path) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self { socket, path, heard: Mutex::default() }
    }

    fn hear(&self) {
        let mut buffer = [0; 8192];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            self.heard.lock().unwrap().extend(text.lines().map(str::to_owned));
        }
    }

    /// Every line so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.hear();
        self.heard.lock().unwrap().clone()
    }

    #[track_caller]
    pub(super) fn wait_for(&self, line: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.lines().iter().any(|heard| heard.starts_with(line)) {
            assert!(Instant::now() < end, "no {line}: {:?}", self.lines());
        }
    }
}

/// `predictd serve`, to be given sockets as descriptors 3 and 4, under these names.
pub(crate) fn activated(config: &Path, names: &str, first: OwnedFd, second: Option<OwnedFd>) -> Command {
    let mut command = Command::new("sh");
    let count = 1 + usize::from(second.is_some());
    // Nothing else can give a process its own number in a variable before it runs.
    let script = format!(
        "export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}; exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null"
    );
    command.args(["-c", &script, "sh"]).arg(predictd().get_program());
    command.args(["serve", "--config"]).arg(config);
    command.stdin(Stdio::from(first));
    command.stdout(second.map_or_else(Stdio::null, Stdio::from));
    command
}

fn ask(socket: &Path, target: &str) -> crate::harness::Reply {
    crate::harness::ask_on(UnixStream::connect(socket).unwrap(), "GET", target, &[], b"")
}

#[test]
fn the_service_manager_is_told_each_phase_and_fed_while_there_is_progress() {
    let folder = tempfile::tempdir().unwrap();
    let manager = ServiceManager::new(folder.path());
    let socket = folder.path().join("s");
    let config = configure_at(folder.path(), &format!("listen = ['unix:{}']", socket.display()));
    let mut command = predictd();
    command.args(["serve", "--config"]).arg(config);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "200000");
    let mut process = Process::start(command);
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    let lines = manager.lines();
    let at = |line: &str| lines.iter().position(|heard| heard.starts_with(line)).unwrap();
    assert!(at("STATUS=loading models") < at("READY=1"), "{lines:?}");
    let status = format!("STATUS=serving 2 models on unix:{}", socket.display());
    assert!(lines.contains(&status), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")), "{lines:?}");
    assert!(!lines.iter().any(|line| line == "STOPPING=1"));
    process.signal("HUP");
    manager.wait_for("RELOADING=1");
    let ready = || manager.lines().iter().filter(|line| *line == "READY=1").count();
    eventually("it is ready again", || ready() == 2);
    let lines = manager.lines();
    let since = lines.iter().position(|line| line == "RELOADING=1").unwrap();
    let longer = lines[since..].iter().any(|line| line.starts_with("EXTEND_TIMEOUT_USEC="));
    assert!(longer, "a reload may take longer too: {lines:?}");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    manager.wait_for("STOPPING=1");
    manager.wait_for("STATUS=0 requests answered in the drain");
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let folder = tempfile::tempdir().unwrap();
    let manager = ServiceManager::new(folder.path());
    let config =
        configure_at(folder.path(), &format!("listen = ['unix:{}']", folder.path().join("s").display()));
    let mut command = predictd();
    command.args(["serve", "--config"]).arg(config);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "100000").env("WATCHDOG_PID", "1");
    let process = Process::start(command);
    manager.wait_for("READY=1");
    std::thread::park_timeout(Duration::from_millis(500));
    assert!(!manager.lines().contains(&"WATCHDOG=1".to_owned()));
    drop(process);
}

#[test]
fn sockets_are_handed_over_by_name_and_stay_when_the_server_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (unix, tcp) = (folder.path().join("s"), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let listener = UnixListener::bind(&unix).unwrap();
    let config = configure_at(folder.path(), "listen = ['fd:web']");
    let port = tcp.local_addr().unwrap().port();
    // Two of one name, as two ListenStream= of a unit are.
    let command = activated(&config, "web:web", listener.into(), Some(tcp.into()));
    let mut process = Process::start_as(command);
    process.wait_for_line("phase=\"ready\"");
    ask(&unix, "/v2/health/ready").ok();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert!(unix.exists(), "systemd's file is systemd's");
}

#[test]
fn a_socket_that_other_machines_reach_is_no_admin_interface_unless_that_is_meant() {
    for (address, allowed, code) in
        [("0.0.0.0:0", false, Some(69)), ("0.0.0.0:0", true, None), ("127.0.0.1:0", false, None)]
    {
        let folder = tempfile::tempdir().unwrap();
        let web = UnixListener::bind(folder.path().join("s")).unwrap();
        let admin = std::net::TcpListener::bind(address).unwrap();
        let config = configure_at(folder.path(), "");
        let models = crate::harness::source("models");
        let text = format!(
            "models = '{}'\nlisten = ['fd:web']\nadmin = 'fd:admin'\nadmin_allow_remote = {allowed}",
            models.display()
        );
        std::fs::write(&config, text).unwrap();
        let bound = admin.local_addr().unwrap();
        let mut process = Process::start_as(activated(&config, "web:admin", web.into(), Some(admin.into())));
        if code.is_some() {
            assert_eq!(process.wait().code(), code);
            process.wait_for_line(&format!(
                "admin = \"fd:admin\" is {bound}, which is reached by other machines"
            ));
        } else {
            process.wait_for_line("phase=\"ready\"");
        }
    }
}

#[test]
fn a_name_that_was_not_handed_over_is_an_error_that_says_which_were() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("s")).unwrap();
    let config = configure_at(folder.path(), "listen = ['fd:web']");
    let mut process = Process::start(activated(&config, "predictd", listener.into(), None));
    assert_eq!(process.wait().code(), Some(69));
    let line = process.wait_for_line("fd:web");
    assert!(
        line.contains("no socket of that name was handed over by systemd; there is fd:predictd"),
        "{line}"
    );
    // And without any.
    let mut command = predictd();
    command.args(["serve", "--config"]).arg(&config);
    let mut process = Process::start(command);
    assert_eq!(process.wait().code(), Some(69));
    process.wait_for_line("none were");
}

/// systemd holds the socket while one process ends and the next starts: whoever connects meanwhile waits.
#[test]
fn a_restart_under_socket_activation_fails_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("predictd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let config = configure_at(folder.path(), "listen = ['fd:predictd']\n[log]\naccess = false");
    let start = || {
        let fd = listener.try_clone().unwrap();
        Process::start(activated(&config, "predictd", fd.into(), None))
    };
    let mut process = start();
    let fronts = [Pass::Uwsgi, Pass::FastCgi, Pass::Http].map(|pass| Nginx::to(&socket, pass));
    let traffic = Traffic::start(&fronts, 16);
    for _ in 0..2 {
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0));
        process = start();
        traffic.flow(200);
    }
    assert!(traffic.stop() > 400);
}
