//! Clients that do not wait for their answer: their runs end, on every wire, and soon.

use crate::{
    harness::{Server, eventually},
    wires::{connect, request},
};
use predictd_protocol::gateway::detect::Wire;
use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

/// The only worker is: nobody else gets an answer.
#[track_caller]
fn wait_until_busy(server: &Server) {
    let ask = || server.post("/predict/iris?timeout=50ms", "[[5.1, 3.5, 1.4, 0.2]]");
    eventually("the worker is busy", || ask().status == 504);
}

#[test]
fn a_client_that_goes_away_ends_its_run_on_every_wire() {
    let server = Server::with("[workers]\ncount = 1\nslow_after = '60s'");
    let body = format!(r#"{{"inputs": {{"rounds": 2000000000, "x": [[{}]]}}}}"#, vec!["0.5"; 256].join(","));
    for wire in Wire::ALL {
        let mut stream = connect(&server);
        stream.write_all(&request(wire, "POST", "/predict/busy", &[], body.as_bytes())).unwrap();
        wait_until_busy(&server);
        let begun = Instant::now();
        drop(stream);
        server.post("/predict/iris?timeout=5s", "[[5.1, 3.5, 1.4, 0.2]]").ok();
        assert!(begun.elapsed() < Duration::from_secs(2), "{wire}: {:?}", begun.elapsed());
    }
}

/// How a client gives its request up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    ByClosing(Wire),
    /// `FCGI_ABORT_REQUEST`, on a connection that stays.
    ByAborting,
}

/// From there until the only worker has answered somebody else.
fn time_to_be_free(server: &Server, leaves: Leaves) -> Duration {
    let body = format!(r#"{{"inputs": {{"rounds": 2000000000, "x": [[{}]]}}}}"#, vec!["0.5"; 256].join(","));
    let wire = if let Leaves::ByClosing(wire) = leaves { wire } else { Wire::FastCgi };
    let mut stream = connect(server);
    stream.write_all(&request(wire, "POST", "/predict/busy", &[], body.as_bytes())).unwrap();
    wait_until_busy(server);
    let left = Instant::now();
    match leaves {
        Leaves::ByClosing(_) => stream.shutdown(Shutdown::Both).unwrap(),
        // Version, type, id, no content.
        Leaves::ByAborting => stream.write_all(&[1, 2, 0, 1, 0, 0, 0, 0]).unwrap(),
    }
    server.post("/predict/iris?timeout=5s", "[[5.1, 3.5, 1.4, 0.2]]").ok();
    left.elapsed()
}

/// The median of several trials, as a single one may meet anything on a machine that others use too.
#[test]
fn a_worker_is_free_within_50_ms_of_its_client_leaving() {
    let allowed = Duration::from_millis(if std::env::var_os("CI").is_some() { 250 } else { 50 });
    let server = Server::with("[workers]\ncount = 1\nslow_after = '60s'");
    for leaves in Wire::ALL.map(Leaves::ByClosing).into_iter().chain([Leaves::ByAborting]) {
        let mut times: Vec<_> = (0..15).map(|_| time_to_be_free(&server, leaves)).collect();
        times.sort_unstable();
        assert!(times[times.len() / 2] < allowed, "{leaves:?}: {times:?}");
    }
}
