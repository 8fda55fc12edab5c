//! HAProxy: FastCGI, also multiplexed, and HTTP.

use super::{FrontEnd, Quirk, check, eventually};
use crate::harness::program;
use serde_json::json;
use std::{fs, process::Command};

/// What fits its buffer beside a reserve of 1 KiB. A chunked body must, as its length has to be known before it is
/// passed on; and FastCGI's bodies are waited for up to here.
const BUFFER: usize = 15 * 1024;

const CHUNKED: Quirk = Quirk::RefusesChunked { longer_than: BUFFER, status: 400 };

const WAITS: Quirk = Quirk::WaitsForBody { bytes: BUFFER };

const FCGI: &str = "use-fcgi-app predictd";

fn haproxy(quirks: &'static [Quirk], backend: &str, fcgi_app: &str) -> FrontEnd {
    let proto = if backend == FCGI { "proto fcgi" } else { "" };
    FrontEnd::start(quirks, |folder, server, port| {
        // One thread, or else each has idle connections of its own.
        let config = format!(
            "global
                nbthread 1
                maxconn 200
            defaults
                mode http
                # Without it, a client that goes away is noticed by nobody (on by default from 3.3).
                option abortonclose
                http-reuse always
                timeout connect 5s
                timeout client 60s
                timeout server 60s
            fcgi-app predictd
                docroot /
                {fcgi_app}
            frontend clients
                bind 127.0.0.1:{port}
                default_backend predictd
            backend predictd
                {backend}
                server predictd unix@{} {proto}\n",
            server.socket().display()
        );
        fs::write(folder.join("haproxy.cfg"), config).unwrap();
        let mut command = Command::new(program("haproxy"));
        command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
        command
    })
}

const MULTIPLEXED: &str = "option keep-conn
    option get-values
    option mpxs-conns
    option max-reqs 64";

/// On a connection that is kept, HAProxy 2.6 sends no `FCGI_ABORT_REQUEST` once a request is complete.
const KEPT: &[Quirk] = &[CHUNKED, WAITS, Quirk::KeepsRefused, Quirk::DeafWhileWaiting];

#[test]
#[ignore = "one of many, for `make test`"]
fn fastcgi_a_connection_each() {
    check(haproxy(&[CHUNKED, WAITS, Quirk::KeepsRefused], FCGI, "no option keep-conn"));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn fastcgi() {
    check(haproxy(KEPT, FCGI, "option keep-conn"));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn fastcgi_multiplexed() {
    check(haproxy(KEPT, FCGI, MULTIPLEXED));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn http() {
    check(haproxy(&[Quirk::KeepsRefused], "", ""));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn what_haproxy_multiplexes_is_served_at_the_same_time() {
    let front_end = haproxy(KEPT, FCGI, MULTIPLEXED);
    front_end.ask("GET", "/v2", &[], b"").ok();
    assert_eq!(front_end.connections(), 1);
    let body = json!({ "inputs": { "rounds": 2_000_000_000, "x": [vec![0.5; 256]] } }).to_string();
    let slow: Vec<_> =
        (0..8).map(|_| front_end.begin("/predict/busy", body.len(), body.as_bytes())).collect();
    eventually("a run has begun", || {
        front_end.server.post("/predict/iris?timeout=50ms", "[[5.1, 3.5, 1.4, 0.2]]").status == 504
    });
    // What needs no worker is answered on the same connection, before those that were asked before.
    front_end.ask("GET", "/v2", &[], b"").ok();
    assert_eq!(front_end.connections(), 1);
    drop(slow);
}
