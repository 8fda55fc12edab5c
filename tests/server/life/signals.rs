//! Every signal in every phase; the phases that the log names are what must have happened.

use super::{Gate, files, with_pidfile};
use crate::{
    harness::{PATIENCE, Process, Reply, Server, eventually, packet, predictd, samples},
    pool::with_fakes,
    wires::connect,
};
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// One that is loading, and goes on doing so.
fn loading(gate: &Gate, folder: &Path) -> Process {
    let mut command = predictd();
    command.args(["serve", "--admin", "", "--models"]).arg(samples());
    command.arg("--listen").arg(format!("unix:{}", folder.join("s").display()));
    command.arg("--model").arg(format!("gated={}", gate.model().display()));
    command.env("PREDICTD_PIDFILE", folder.join("pid"));
    let process = Process::start(command);
    process.wait_for_line("phase=\"loading\"");
    process
}

#[test]
fn a_server_that_loads_ends_at_once_and_leaves_nothing() {
    for signal in ["TERM", "INT"] {
        let (gate, folder) = (Gate::new(), tempfile::tempdir().unwrap());
        let mut process = loading(&gate, folder.path());
        process.signal(signal);
        assert_eq!(process.wait().code(), Some(0), "{signal}");
        assert_eq!(process.phases(), ["loading", "stopped"]);
        assert_eq!(files(folder.path()), [""; 0]);
    }
}

#[test]
fn other_signals_do_not_keep_a_server_from_loading() {
    let (gate, folder) = (Gate::new(), tempfile::tempdir().unwrap());
    let mut process = loading(&gate, folder.path());
    process.signal("USR1");
    process.signal("USR2");
    process.wait_for_line("SIGUSR2: not yet");
    process.signal("HUP");
    gate.open();
    process.wait_for_line("phase=\"ready\"");
    process.wait_for_line("SIGHUP");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn a_server_that_was_killed_while_it_loaded_is_in_nobodys_way() {
    let (gate, folder) = (Gate::new(), tempfile::tempdir().unwrap());
    let mut process = loading(&gate, folder.path());
    assert_eq!(files(folder.path()), ["s", "s.lock"]);
    process.signal("KILL");
    process.wait();
    let mut process = loading(&gate, folder.path());
    gate.open();
    process.wait_for_line("phase=\"ready\"");
    assert_eq!(files(folder.path()), ["pid", "s"]);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn of_two_servers_that_start_at_once_exactly_one_serves() {
    let (gate, folder) = (Gate::new(), tempfile::tempdir().unwrap());
    let mut first = loading(&gate, folder.path());
    // It is known before a model is loaded.
    let mut command = predictd();
    command.args(["serve", "--admin", "", "--models"]).arg(samples());
    command.arg("--listen").arg(format!("unix:{}", folder.path().join("s").display()));
    let mut second = Process::start(command);
    assert_eq!(second.wait().code(), Some(69));
    second.wait_for_line("another server is starting there");
    assert_eq!(second.phases(), [""; 0]);
    gate.open();
    first.wait_for_line("phase=\"ready\"");
    first.signal("TERM");
    assert_eq!(first.wait().code(), Some(0));
}

#[test]
fn what_waits_to_be_accepted_when_the_signal_comes_is_answered() {
    let mut server = Server::start();
    // It cannot accept anything now.
    server.process.signal("STOP");
    let request = packet("GET", "/v2/health/live", &[], 0);
    let mut waiting: Vec<UnixStream> = (0..200)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(&request).unwrap();
            stream
        })
        .collect();
    server.process.signal("TERM");
    server.process.signal("CONT");
    for stream in &mut waiting {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Reply::parse(&answer).ok();
    }
    assert_eq!(server.process.wait().code(), Some(0));
    assert_eq!(server.process.phases(), ["loading", "ready", "draining", "stopped"]);
}

/// Clients that connect, one after the other, until nobody is there: each that got through gets its answer.
#[test]
fn whoever_gets_a_connection_gets_an_answer_to_the_end() {
    let mut server = Server::start();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let socket = server.socket();
            thread::spawn(move || {
                let request = packet("GET", "/v2/health/live", &[], 0);
                let (mut answered, begun) = (0, Instant::now());
                while let Ok(mut stream) = UnixStream::connect(&socket) {
                    assert!(begun.elapsed() < PATIENCE, "the server does not end");
                    let mut answer = Vec::new();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let asked = stream.write_all(&request).and_then(|()| stream.read_to_end(&mut answer));
                    assert!(asked.is_ok() && !answer.is_empty(), "connected, and not answered: {asked:?}");
                    Reply::parse(&answer).ok();
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    thread::park_timeout(Duration::from_millis(200));
    server.process.signal("TERM");
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(answered > 8, "{answered}");
    assert_eq!(server.process.wait().code(), Some(0));
}

/// A request whose head is half sent: it keeps a drain from ending.
fn half_a_request(server: &Server) -> UnixStream {
    let mut half = connect(server);
    half.write_all(&packet("GET", "/v2/health/live", &[], 0)[..10]).unwrap();
    server.get("/v2/health/live").ok();
    half
}

#[test]
fn in_a_drain_only_signals_to_end_have_a_meaning() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut server = with_pidfile("");
        let _half = half_a_request(&server);
        server.process.signal("TERM");
        server.process.wait_for_line("phase=\"draining\"");
        for other in ["HUP", "USR2"] {
            server.process.signal(other);
            server.process.wait_for_line(&format!("SIG{other}: not any more"));
        }
        server.process.signal("USR1");
        server.process.signal(signal);
        assert_eq!(server.process.wait().code(), Some(code));
        assert_eq!(server.process.phases(), ["loading", "ready", "draining", "cancelling", "stopped"]);
        assert_eq!(files(server.folder.path()), ["predictd.toml"]);
    }
}

#[test]
fn a_kept_connection_closes_after_its_next_answer_or_when_it_has_been_idle() {
    let mut server = Server::start();
    let connect = || {
        let mut stream = connect(&server);
        stream.write_all(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let reply = Reply::receive(&mut stream);
        assert_ne!(reply.header("connection"), Some("close"));
        stream
    };
    let (mut asking, mut idle) = (connect(), connect());
    let begun = Instant::now();
    server.process.signal("TERM");
    server.process.wait_for_line("phase=\"draining\"");
    asking.write_all(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let reply = Reply::receive(&mut asking);
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert_eq!(asking.read(&mut [0]).unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert!(begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(server.process.wait().code(), Some(0));
}

#[test]
fn a_stuck_run_keeps_no_server_alive_and_its_client_is_told() {
    let mut server = with_fakes(
        "[limits]\ndrain = '300ms'",
        &[("wedge", "[fake]\nsleep = '600s'\nignore_terminate = true")],
    );
    let socket = server.socket();
    let asking = thread::spawn(move || {
        let stream = UnixStream::connect(socket).unwrap();
        crate::harness::ask_on(stream, "POST", "/predict/wedge", &[], b"[[1.5, 2.5]]")
    });
    server.process.wait_for_line("a run is slow");
    server.process.signal("TERM");
    assert!(asking.join().unwrap().error(503).contains("shutting down"));
    assert_eq!(server.process.wait().code(), Some(0));
    server.process.wait_for_line("0 requests answered in the drain, 1 cancelled");
    assert_eq!(server.process.phases(), ["loading", "ready", "draining", "cancelling", "stopped"]);
    assert_eq!(files(server.folder.path()), ["predictd.toml"]);
}

#[test]
fn a_process_that_cannot_go_on_leaves_nothing_either() {
    let config = "[workers]\ncount = 1\nstuck_after = '100ms'\nmax_stuck = 1";
    let mut server = with_fakes(
        config,
        &[("wedge", "deadline = '200ms'\n[fake]\nsleep = '600s'\nignore_terminate = true")],
    );
    server.post("/predict/wedge", "[[1.5, 2.5]]").error(504);
    assert_eq!(server.process.wait().code(), Some(70));
    assert_eq!(server.process.phases(), ["loading", "ready", "cancelling"]);
    assert_eq!(files(server.folder.path()), ["predictd.toml"]);
}

#[test]
fn a_killed_server_is_replaced_on_its_socket() {
    let mut server = with_pidfile("");
    server.process.signal("KILL");
    server.process.wait();
    assert_eq!(files(server.folder.path()), ["admin.sock", "pid", "predictd.sock", "predictd.toml"]);
    let mut command = predictd();
    command.args(["serve", "--models"]).arg(samples());
    command.arg("--admin").arg(format!("unix:{}", server.folder.path().join("admin.sock").display()));
    command.arg("--listen").arg(format!("unix:{}", server.socket().display()));
    command.env("PREDICTD_PIDFILE", server.folder.path().join("pid"));
    let mut next = Process::start(command);
    next.wait_for_line("phase=\"ready\"");
    server.get("/v2/health/ready").ok();
    next.signal("TERM");
    assert_eq!(next.wait().code(), Some(0));
    assert_eq!(files(server.folder.path()), ["predictd.toml"]);
}

/// Processes that have this variable.
fn processes_with(variable: &str) -> Vec<u32> {
    let numbers =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    // Another user's may not be read, and one that has just ended is not there.
    let has = |number: &u32| {
        let variables = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|other| other == variable.as_bytes())
    };
    numbers.filter(has).collect()
}

#[test]
fn no_thread_or_process_outlives_it() {
    let mut server = Server::with_folder("", |folder, command| {
        command.env("LIVES_IN", folder);
    });
    server.post("/predict/iris", "[[5.1, 3.5, 1.4, 0.2]]").ok();
    // Whatever it starts has its environment, whoever its parent is by then.
    let mark = format!("LIVES_IN={}", server.folder.path().display());
    assert_eq!(processes_with(&mark), [server.process.id()]);
    server.process.signal("TERM");
    assert_eq!(server.process.wait().code(), Some(0));
    eventually("all of it is gone", || processes_with(&mark).is_empty());
}
