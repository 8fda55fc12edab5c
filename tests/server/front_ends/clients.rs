//! Other people's clients at predictd's own socket.

use crate::harness::{PATIENCE, Reply, Server, program, tool};
use serde_json::json;
use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

/// What a client says when `input` is all that it gets.
fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap();
    client.stdin.take().unwrap().write_all(input).unwrap();
    client.wait_with_output().unwrap()
}

#[test]
#[ignore = "one of many, for `make test`"]
fn uwsgi_ping() {
    let server = Server::start();
    // Debian's uWSGI has everything in plugins.
    let ping = |socket: &Path| {
        run(Command::new(program("uwsgi")).args(["--plugin", "ping", "--ping"]).arg(socket), b"")
    };
    let output = ping(&server.socket());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(ping(&server.folder.path().join("nobody.sock")).status.code(), Some(1));
}

/// It announces no CONTENT_LENGTH, so that uWSGI and we take what it sends after the head for nothing.
#[test]
#[ignore = "one of many, for `make test`"]
fn uwsgi_curl_asks() {
    let server = Server::start();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(tool("uwsgi_curl"));
        command.arg(server.socket()).args(arguments).args(["-t", &PATIENCE.as_secs().to_string()]);
        run(&mut command, b"")
    };
    let output = ask(&["localhost/v2/models/iris"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let reply = Reply::parse(&output.stdout);
    assert_eq!(reply.ok()["name"], "iris");
    let output = ask(&["localhost/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(Reply::parse(&output.stdout).error(404), "there is nothing at /nowhere");
}

#[test]
#[ignore = "one of many, for `make test`"]
fn cgi_fcgi_asks() {
    let server = Server::start();
    let ask = |method: &str, path: &str, body: &[u8]| {
        let mut command = Command::new(program("cgi-fcgi"));
        command.args(["-bind", "-connect"]).arg(server.socket()).env_clear();
        command.env("REQUEST_METHOD", method).env("SCRIPT_NAME", path);
        command.env("CONTENT_TYPE", "application/json").env("CONTENT_LENGTH", body.len().to_string());
        let output = run(&mut command, body);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        // What it prints is a CGI's answer: its first line is the status.
        let answer = String::from_utf8(output.stdout).unwrap();
        Reply::parse(answer.strip_prefix("Status:").unwrap_or_else(|| panic!("{answer}")).as_bytes())
    };
    assert_eq!(ask("GET", "/v2/models/iris", b"").ok()["name"], "iris");
    let body = json!({ "inputs": { "measurements": vec![[5.1, 3.5, 1.4, 0.2]; 5000] } }).to_string();
    let answer = ask("POST", "/predict/iris", body.as_bytes()).ok();
    assert_eq!(answer["results"].as_array().unwrap().len(), 5000);
    assert_eq!(ask("GET", "/nowhere", b"").error(404), "there is nothing at /nowhere");
}
