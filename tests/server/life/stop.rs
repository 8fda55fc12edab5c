//! `predictd stop`: by pidfile, and what it says.

use super::{files, with_pidfile};
use crate::{
    harness::{Server, eventually, packet, predictd},
    wires::connect,
};
use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::Output,
};

fn stop(pidfile: &Path, more: &[&str]) -> Output {
    predictd().args(["stop", "--pidfile"]).arg(pidfile).args(more).output().unwrap()
}

#[track_caller]
fn says(output: &Output, code: i32, part: &str) {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.code() == Some(code) && text.contains(part), "{:?}: {text}", output.status);
}

#[test]
fn it_waits_and_says_what_came_of_it() {
    let mut server = with_pidfile("");
    let pidfile = server.folder.path().join("pid");
    assert_eq!(fs::read_to_string(&pidfile).unwrap(), format!("{}\n", server.process.id()));
    let body = format!(r#"{{"inputs": {{"rounds": 100000, "x": [[{}]]}}}}"#, vec!["0.5"; 256].join(","));
    let mut running = connect(&server);
    let head = packet("POST", "/predict/busy", &[], body.len());
    running.write_all(&[&head[..], body.as_bytes()].concat()).unwrap();
    server.get("/v2/health/live").ok();
    says(&stop(&pidfile, &[]), 0, "1 requests answered in the drain, 0 cancelled");
    let mut answer = Vec::new();
    running.read_to_end(&mut answer).unwrap();
    crate::harness::Reply::parse(&answer).ok();
    assert_eq!(server.process.wait().code(), Some(0));
    assert_eq!(files(server.folder.path()), ["predictd.toml"]);
    says(&stop(&pidfile, &[]), 69, "does not exist");
}

#[test]
fn the_pidfile_may_be_read_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let mut server = Server::with(&format!("pidfile = '{}'", path.display()));
    let config = server.folder.path().join("predictd.toml");
    let output = predictd().args(["stop", "--config"]).arg(config).output().unwrap();
    says(&output, 0, "stopped process");
    assert_eq!(server.process.wait().code(), Some(0));
    says(&predictd().arg("stop").output().unwrap(), 64, "which server?");
}

#[test]
fn a_pidfile_that_a_killed_server_left_is_known_and_nobody_else_is_signalled() {
    let mut server = with_pidfile("");
    let pidfile = server.folder.path().join("pid");
    server.process.signal("KILL");
    server.process.wait();
    // Its number is somebody else's by now: ours.
    fs::write(&pidfile, format!("{}\n", std::process::id())).unwrap();
    says(&stop(&pidfile, &[]), 69, "was left by one that is gone");
    fs::write(&pidfile, "rubbish").unwrap();
    says(&stop(&pidfile, &[]), 69, "was left by one that is gone");
}

#[test]
fn it_does_not_wait_for_ever() {
    let mut server = with_pidfile("");
    let pidfile = server.folder.path().join("pid");
    let mut half = connect(&server);
    half.write_all(&packet("GET", "/v2/health/live", &[], 0)[..10]).unwrap();
    server.get("/v2/health/live").ok();
    says(&stop(&pidfile, &["--timeout", "1"]), 70, "has not ended within 1 s, and goes on");
    // Asked again, the server does not wait either.
    says(&stop(&pidfile, &[]), 0, "cut short by a second signal, 0 requests cancelled");
    assert_eq!(server.process.wait().code(), Some(143));
    eventually("its files go", || files(server.folder.path()) == ["predictd.toml"]);
}
