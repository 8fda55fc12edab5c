//! SIGUSR2: a new process takes over, without a failed request; or does not, and nothing has happened.

use super::{
    Gate, Other, READY, configure_at, files,
    systemd::{ServiceManager, activated},
    traffic::Traffic,
    with_pidfile,
};
use crate::{
    harness::{Nginx, Pass, Process, Server, eventually},
    wires::connect,
};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
};

/// Without a line for each of many thousand requests.
const QUIET: &str = "[log]\naccess = false";

/// Said of a new process as soon as there is one.
const STARTS: &str = "takes over when it is ready";

fn fronts(server: &Server) -> [Nginx; 3] {
    [Pass::Uwsgi, Pass::FastCgi, Pass::Http].map(|pass| Nginx::by(server, pass))
}

/// Has `process` replaced; gives the new one. All of them write to the log of the first.
fn upgrade(process: &Process) -> Other {
    successor(process, || process.signal("USR2"))
}

/// The process that takes over because of `signal`: ours to end from its start, whatever fails before it serves.
fn successor(log: &Process, signal: impl FnOnce()) -> Other {
    let [starts, takes_over] = [STARTS, "has taken over"].map(|line| log.count_lines(line));
    signal();
    let new = Other::of(&log.wait_for_nth_line(STARTS, starts));
    let line = log.wait_for_nth_line("has taken over", takes_over);
    assert!(line.contains(&format!("process {} ", new.0)), "{line}");
    new
}

#[test]
fn a_new_process_takes_over_under_load_and_no_request_fails() {
    let mut server = with_pidfile(QUIET);
    let pidfile = server.folder.path().join("pid");
    let fronts = fronts(&server);
    let traffic = Traffic::start(&fronts, 16);
    let old = server.process.id();
    let new = upgrade(&server.process);
    assert_eq!(server.process.wait().code(), Some(0), "the old one has ended");
    traffic.flow(500);
    assert_eq!(fs::read_to_string(&pidfile).unwrap(), format!("{}\n", new.0));
    // And once more, by a process that was itself taken over.
    let third = successor(&server.process, || new.signal("USR2"));
    new.wait_until_gone();
    traffic.flow(500);
    assert!(traffic.stop() > 1000);
    assert!(![old, new.0].contains(&third.0));
    third.signal("TERM");
    third.wait_until_gone();
    assert_eq!(files(server.folder.path()), ["predictd.toml"], "the last removes what the first has made");
}

#[test]
fn what_the_old_process_has_accepted_it_answers() {
    let mut server = with_pidfile("");
    let body = format!(r#"{{"inputs": {{"rounds": 100000, "x": [[{}]]}}}}"#, vec!["0.5"; 256].join(","));
    let mut running = connect(&server);
    let head = crate::harness::packet("POST", "/predict/busy", &[], body.len());
    running.write_all(&[&head[..], body.as_bytes()].concat()).unwrap();
    server.get("/v2/health/live").ok();
    let new = upgrade(&server.process);
    let mut answer = Vec::new();
    running.read_to_end(&mut answer).unwrap();
    crate::harness::Reply::parse(&answer).ok();
    assert_eq!(server.process.wait().code(), Some(0));
    server.get("/v2/health/ready").ok();
    drop(new);
}

#[test]
fn the_socket_has_the_rights_of_the_new_process_configuration() {
    let mut server = with_pidfile("[socket]\nmode = '0660'");
    let mode = || fs::metadata(server.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o660);
    fs::write(server.folder.path().join("predictd.toml"), "[socket]\nmode = '0600'").unwrap();
    let new = upgrade(&server.process);
    assert_eq!(mode(), 0o600);
    assert_eq!(server.process.wait().code(), Some(0));
    server.get("/v2/health/ready").ok();
    drop(new);
}

#[test]
fn the_statistics_are_those_of_the_process_that_answers() {
    let mut server = Server::with_folder("", |folder, command| {
        command.env("PREDICTD_UWSGI_STATS", format!("unix:{}", folder.join("stats").display()));
    });
    server.process.wait_for_line(READY);
    let pid = || {
        let mut stats = UnixStream::connect(server.folder.path().join("stats")).unwrap();
        let mut text = String::new();
        stats.read_to_string(&mut text).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["pid"].clone()
    };
    assert_eq!(pid(), server.process.id());
    let new = upgrade(&server.process);
    // The old one may answer until it is gone.
    assert_eq!(server.process.wait().code(), Some(0));
    assert_eq!(pid(), new.0, "the old one has removed nothing");
    new.signal("TERM");
    new.wait_until_gone();
    assert_eq!(files(server.folder.path()), ["predictd.toml"]);
}

#[test]
fn a_stuck_run_stays_behind_with_the_old_process() {
    let mut server = Server::with_folder("", |folder, command| {
        let model = folder.join("wedge");
        fs::create_dir(&model).unwrap();
        let settings = "kind = 'fake'\ndeadline = '2s'\n[fake]\nsleep = '600s'\nignore_terminate = true";
        fs::write(model.join("model.toml"), settings).unwrap();
        command.arg("--allow-fake").arg("--model").arg(format!("wedge={}", model.display()));
    });
    let socket = server.socket();
    let asking = std::thread::spawn(move || {
        let stream = UnixStream::connect(socket).unwrap();
        crate::harness::ask_on(stream, "POST", "/predict/wedge", &[], b"[[1.5, 2.5]]")
    });
    server.process.wait_for_line("a run is slow");
    let new = upgrade(&server.process);
    asking.join().unwrap().error(504);
    assert_eq!(server.process.wait().code(), Some(0));
    server.get("/v2/models/wedge/ready").ok_or_empty();
    new.signal("TERM");
    new.wait_until_gone();
    assert_eq!(files(server.folder.path()), ["predictd.toml", "wedge"]);
}

#[test]
fn where_the_new_process_fails_the_old_one_goes_on() {
    let mut server = with_pidfile(QUIET);
    let fronts = fronts(&server);
    let traffic = Traffic::start(&fronts, 16);
    let config = server.folder.path().join("predictd.toml");
    fs::write(&config, "strict_models = true\nno_such_key = 1").unwrap();
    server.process.signal("USR2");
    let failed = Other::of(&server.process.wait_for_line(STARTS));
    let line = server.process.wait_for_line("no upgrade");
    assert!(line.contains("exit status: 78"), "{line}");
    assert!(failed.is_gone());
    traffic.flow(200);
    assert_eq!(
        fs::read_to_string(server.folder.path().join("pid")).unwrap(),
        format!("{}\n", server.process.id())
    );
    assert_eq!(server.process.phases(), ["loading", "ready", "upgrading", "ready"]);
    // Put right, it works.
    fs::write(&config, QUIET).unwrap();
    let new = upgrade(&server.process);
    assert_eq!(server.process.wait().code(), Some(0));
    traffic.flow(200);
    traffic.stop();
    drop(new);
}

#[test]
fn a_signal_to_end_during_an_upgrade_ends_both_and_leaves_nothing() {
    let gate = Gate::new();
    let mut server = gate.server("");
    server.process.signal("USR2");
    let new = Other::of(&server.process.wait_for_line(STARTS));
    server.process.wait_for_nth_line("phase=\"loading\"", 1);
    server.process.signal("USR2");
    server.process.wait_for_line("is starting already");
    server.get("/v2/health/ready").ok();
    server.process.signal("TERM");
    assert_eq!(server.process.wait().code(), Some(0));
    new.wait_until_gone();
    assert_eq!(files(server.folder.path()), ["predictd.toml"]);
    let phases = server.process.phases();
    assert_eq!(phases, ["loading", "ready", "upgrading", "loading", "draining", "stopped"]);
}

#[test]
fn a_new_process_whose_old_one_is_killed_takes_over_all_the_same() {
    let gate = Gate::new();
    let mut server = gate.server("");
    server.process.signal("USR2");
    let new = Other::of(&server.process.wait_for_line(STARTS));
    server.process.wait_for_nth_line("phase=\"loading\"", 1);
    server.process.signal("KILL");
    server.process.wait();
    gate.open();
    server.process.wait_for_line("taking over from it");
    server.process.wait_for_nth_line("phase=\"ready\"", 1);
    server.get("/v2/health/ready").ok();
    new.signal("TERM");
    new.wait_until_gone();
    assert_eq!(files(server.folder.path()), ["predictd.toml"]);
}

#[test]
fn a_new_process_answers_when_it_has_taken_over_and_is_not_ended_then() {
    let gate = Gate::new();
    let mut server = gate.server("");
    server.process.signal("USR2");
    let new = Other::of(&server.process.wait_for_line("takes over when it is ready"));
    server.process.wait_for_nth_line("phase=\"loading\"", 1);
    // So that it hears nothing: neither that the new one is ready, nor a request.
    server.process.signal("STOP");
    gate.open();
    server.get("/v2/health/ready").ok();
    server.process.wait_for_line("taking over from it");
    server.process.signal("TERM");
    server.process.signal("CONT");
    assert_eq!(server.process.wait().code(), Some(0));
    server.get("/v2/health/ready").ok();
    new.signal("TERM");
    new.wait_until_gone();
    assert_eq!(files(server.folder.path()), ["predictd.toml"]);
}

#[test]
fn systemd_is_told_who_the_main_process_is() {
    let folder = tempfile::tempdir().unwrap();
    let manager = ServiceManager::new(folder.path());
    let socket = folder.path().join("s");
    let config = configure_at(folder.path(), "listen = ['fd:predictd']");
    let listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = activated(&config, "predictd", listener.into(), None);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "60000000");
    let mut process = Process::start(command);
    manager.wait_for("READY=1");
    let new = upgrade(&process);
    assert_eq!(process.wait().code(), Some(0));
    manager.wait_for(&format!("MAINPID={}", new.0));
    assert!(!manager.lines().contains(&"STOPPING=1".to_owned()), "the service goes on");
    let ready = || manager.lines().iter().filter(|line| *line == "READY=1").count();
    eventually("the new one says so too", || ready() == 2);
    new.signal("TERM");
    new.wait_until_gone();
    manager.wait_for("STOPPING=1");
    assert!(socket.exists(), "systemd's file is systemd's, after an upgrade too");
}
