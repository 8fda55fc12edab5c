//! Nothing hangs: models that never return, never end, panic, or are asked for more than they can do.

use crate::{
    harness::{Ending, Reply, Server, packet, within},
    wires::held,
};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const MEASUREMENTS: &str = "[[5.1, 3.5, 1.4, 0.2]]";

const ROW: &str = "[[1.5, 2.5]]";

/// How much longer than promised a machine may take that runs other tests too.
fn slack() -> u32 {
    if std::env::var_os("CI").is_some() { 5 } else { 1 }
}

/// A server that also has a fake model of each of these names and behaviours.
pub(crate) fn with_fakes(config: &str, fakes: &[(&str, &str)]) -> Server {
    let models = tempfile::tempdir().unwrap();
    for (name, settings) in fakes {
        fs::create_dir(models.path().join(name)).unwrap();
        fs::write(models.path().join(name).join("model.toml"), format!("kind = 'fake'\n{settings}")).unwrap();
    }
    Server::with_arguments(config, |command| {
        command.arg("--allow-fake");
        for (name, _) in fakes {
            command.arg("--model").arg(format!("{name}={}", models.path().join(name).display()));
        }
    })
}

/// The times of `clients` at once, each asking `rounds` times.
pub(crate) fn ask_at_once(
    server: &Server,
    clients: usize,
    rounds: usize,
    target: &str,
    body: &str,
) -> Vec<(Duration, Reply)> {
    thread::scope(|scope| {
        let ask = || {
            let begun = Instant::now();
            let reply = server.post(target, body);
            (begun.elapsed(), reply)
        };
        let clients: Vec<_> = (0..clients)
            .map(|_| scope.spawn(move || (0..rounds).map(|_| ask()).collect::<Vec<_>>()))
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// The failure that this server is there to cure: a model that never comes back.
#[test]
fn a_wedged_model_hurts_nobody_else_and_is_named() {
    let config = "[workers]\nstuck_after = '1s'\nmax_stuck = 100";
    let server =
        with_fakes(config, &[("wedge", "deadline = '1s'\n[fake]\nsleep = '20s'\nignore_terminate = true")]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let ending = Ending(&over);
        let healthy = scope.spawn(|| {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                times.extend(ask_at_once(&server, 50, 1, "/predict/iris", MEASUREMENTS));
                thread::park_timeout(Duration::from_millis(20));
            }
            times
        });
        for (time, reply) in ask_at_once(&server, 50, 1, "/predict/wedge", ROW) {
            assert_eq!(reply.error(504), "model 'wedge' gave no answer within 1000 ms");
            let allowed = Duration::from_secs(1)..Duration::from_millis(1000 + 100 * u64::from(slack()));
            assert!(allowed.contains(&time), "{time:?}");
        }
        let line = server.process.wait_for_line("a run is stuck");
        for part in ["model=wedge/1", "worker=", "core=", "running_s=", "requests="] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        drop(ending);
        let times = healthy.join().unwrap();
        assert!(times.len() > 100, "{}", times.len());
        let times = times.into_iter().map(|(time, reply)| {
            reply.ok();
            time
        });
        let p99 = percentile(times.collect(), 99);
        assert!(p99 < slack() * Duration::from_millis(250 + 50), "{p99:?}");
    });
    // Closed, it says so at once, by each way of asking.
    let begun = Instant::now();
    let reply = server.post("/predict/wedge", ROW);
    assert_eq!(reply.header("retry-after"), Some("1"));
    let error = reply.error(503);
    assert!(error.contains("model 'wedge': it is closed: worker") && error.contains("stuck"), "{error}");
    assert!(begun.elapsed() < Duration::from_millis(500));
    let ready = server.get("/v2/models/wedge/ready");
    assert!(ready.error(503).contains("it is closed"));
    assert!(server.get("/v1/models/wedge").error(503).contains("it is closed"));
    server.get("/v2/health/ready").ok();
    let times = ask_at_once(&server, 8, 20, "/predict/iris", MEASUREMENTS).into_iter().map(|(time, _)| time);
    let p99 = percentile(times.collect(), 99);
    assert!(p99 < slack() * Duration::from_millis(100), "back to normal: {p99:?}");
}

#[test]
fn a_stuck_run_that_ends_opens_its_model_again() {
    let config = "[workers]\ncount = 1\nslow_after = '50ms'\nstuck_after = '100ms'";
    let settings = "deadline = '100ms'\n[fake]\nsleep = '1500ms'\nignore_terminate = true";
    let server = with_fakes(config, &[("tardy", settings)]);
    server.post("/predict/tardy", ROW).error(504);
    server.process.wait_for_line("a run is stuck");
    server.post("/predict/tardy", ROW).error(503);
    server.process.wait_for_line("the model is open again");
    server.get("/v2/models/tardy/ready").ok();
    server.post("/predict/tardy", ROW).error(504);
}

#[test]
fn too_many_stuck_runs_end_the_process_with_a_last_word() {
    let config = "[workers]\ncount = 1\nstuck_after = '100ms'\nmax_stuck = 1";
    let settings = "deadline = '100ms'\n[fake]\nspin = '1h'\nignore_terminate = true";
    let mut server = with_fakes(config, &[("wedge", settings)]);
    server.post("/predict/wedge", ROW).error(504);
    assert_eq!(server.process.wait().code(), Some(70));
    server.process.wait_for_line("1 runs are stuck (max_stuck = 1): this process cannot go on");
    assert!(!server.socket().exists(), "its socket is gone");
}

#[test]
fn a_stuck_run_does_not_keep_the_server_from_ending() {
    let config = "[workers]\ncount = 1\nstuck_after = '60s'";
    let settings = "deadline = '100ms'\n[fake]\nsleep = '1h'\nignore_terminate = true";
    let mut server = with_fakes(config, &[("wedge", settings)]);
    server.post("/predict/wedge", ROW).error(504);
    server.process.signal("TERM");
    let begun = Instant::now();
    assert_eq!(server.process.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    server.process.wait_for_line("stopped, in spite of runs that did not end when told to");
    assert!(!server.socket().exists());
}

#[test]
fn a_panic_is_a_500_of_its_own_caller() {
    let server = with_fakes("", &[("bomb", "[fake]\npanic = true"), ("echo", "")]);
    assert!(server.post("/predict/bomb", ROW).error(500).contains("failed in an unforeseen way"));
    assert_eq!(
        server.post("/predict/echo", ROW).ok()["results"][0]["outputs"]["output"],
        serde_json::json!([1.5, 2.5])
    );
    server.process.wait_for_line("a run panicked: a fake model that was told to panic");
}

#[test]
fn a_fake_is_served_only_where_that_is_allowed() {
    let models = tempfile::tempdir().unwrap();
    fs::create_dir(models.path().join("f")).unwrap();
    fs::write(models.path().join("f/model.toml"), "kind = 'fake'").unwrap();
    let output = crate::harness::predictd().args(["check", "--models"]).arg(models.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("served only with --allow-fake"), "{text}");
}

/// A full queue says so at once, while others are served; what waits is answered.
#[test]
fn more_than_can_be_done_is_refused_quickly() {
    let settings = "[batch]\nmax_rows = 1\nqueue = 4\n[fake]\nspin = '5ms'";
    let server = with_fakes("", &[("slow", settings)]);
    let answers = ask_at_once(&server, 24, 20, "/predict/slow", ROW);
    let (answered, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(_, reply)| reply.status == 200);
    assert!(answered.len() > 20, "{}", answered.len());
    assert!(refused.len() > 20, "{}", refused.len());
    for (_, reply) in &refused {
        assert!(reply.error(503).contains("its queue is full, 4 rows are waiting"));
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    let median = percentile(refused.into_iter().map(|(time, _)| time).collect(), 50);
    assert!(median < slack() * Duration::from_millis(20), "{median:?}");
}

#[test]
fn what_runs_no_model_is_quick_while_all_workers_are_busy() {
    let server = with_fakes("", &[("busy", "[batch]\nmax_rows = 1\n[fake]\nspin = '5ms'")]);
    let over = AtomicBool::new(false);
    let times = thread::scope(|scope| {
        let _ending = Ending(&over);
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    server.post("/predict/busy", ROW).ok();
                }
            });
        }
        let ask = |_| {
            let begun = Instant::now();
            server.get("/v2/health/live").ok();
            begun.elapsed()
        };
        (0..200).map(ask).collect::<Vec<_>>()
    });
    let p90 = percentile(times, 90);
    assert!(p90 < slack() * Duration::from_millis(20), "{p90:?}");
}

/// As when a page is left, or nginx gives up: by the hundred.
#[test]
fn clients_that_leave_in_mid_run_leave_nothing_behind() {
    let server = Server::start();
    let rows = vec!["0.5"; 256].join(",");
    let body = format!(r#"{{"inputs": {{"rounds": 2000000000, "x": [[{rows}]]}}}}"#);
    let request = [&packet("POST", "/predict/busy", &[], body.len())[..], body.as_bytes()].concat();
    let leave = || {
        let clients: Vec<_> = (0..200)
            .map(|_| {
                let mut stream = UnixStream::connect(server.socket()).unwrap();
                stream.write_all(&request).unwrap();
                stream
            })
            .collect();
        thread::park_timeout(Duration::from_millis(50));
        drop(clients);
        let begun = Instant::now();
        server.post("/predict/iris?timeout=5s", MEASUREMENTS).ok();
        begun.elapsed()
    };
    server.post("/predict/iris", MEASUREMENTS).ok();
    let before = held(&server).0;
    leave();
    let memory = held(&server).1;
    let times: Vec<_> = (0..5).map(|_| leave()).collect();
    let median = percentile(times, 50);
    assert!(median < slack() * Duration::from_millis(50), "{median:?} until a worker is free");
    within(Duration::from_secs(10), "no more descriptors than before", || held(&server).0 <= before);
    let now = held(&server).1;
    assert!(now < memory + 5_000, "{now} kB, {memory} kB before");
    server
        .post("/predict/busy?timeout=5s", format!(r#"{{"inputs": {{"rounds": 1, "x": [[{rows}]]}}}}"#))
        .ok();
}

/// Rows of many clients share runs, and everybody gets its own.
#[test]
fn joined_requests_get_each_its_own_rows() {
    let server = Server::start();
    thread::scope(|scope| {
        for client in 0..16 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..40 {
                    let (number, rows) = (client * 1000 + round, (client + round) % 3 + 1);
                    let row = vec![number; 16];
                    let rows = vec![row; usize::try_from(rows).unwrap()];
                    let body = serde_json::json!({ "inputs": { "a": rows, "b": rows } }).to_string();
                    let answer = server.post("/predict/add_sub", body).ok();
                    let sum = |row: &Value| row["outputs"]["sum"] == serde_json::json!(vec![2 * number; 16]);
                    let results = answer["results"].as_array().unwrap();
                    assert!(results.len() == rows.len() && results.iter().all(sum), "{answer}");
                }
            });
        }
    });
    let batched = server.process.has_line("batch_rows=4") || server.process.has_line("batch_rows=5");
    assert!(batched, "no run had rows of several requests");
}

/// One row that the model does not like is the fault of its own caller alone.
#[test]
fn a_bad_row_in_a_batch_fails_alone() {
    let server = Server::start();
    let signature = server.get("/v2/models/lookup").ok();
    let name = signature["inputs"][0]["name"].as_str().unwrap().to_owned();
    thread::scope(|scope| {
        for client in 0..12 {
            let (server, name) = (&server, &name);
            scope.spawn(move || {
                for _ in 0..30 {
                    let index = if client % 4 == 0 { 99 } else { client % 10 };
                    let body = serde_json::json!({ "inputs": { name: [index] } }).to_string();
                    let reply = server.post("/predict/lookup", body);
                    assert_eq!(reply.status, if index == 99 { 500 } else { 200 }, "{reply:?}");
                }
            });
        }
    });
}

#[test]
fn a_raw_request_is_a_tensor_and_nothing_else() {
    let server = Server::start();
    let bytes: Vec<u8> = [5.1f32, 3.5, 1.4, 0.2].iter().flat_map(|x| x.to_le_bytes()).collect();
    let headers = [("Inference-Header-Content-Length", "0")];
    let reply = server.ask("POST", "/v2/models/iris/infer", &headers, &bytes);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    let head: usize = reply.header("inference-header-content-length").unwrap().parse().unwrap();
    let json: Value = serde_json::from_slice(&reply.body[..head]).unwrap();
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 12);
    let first = f32::from_le_bytes(reply.body[head..head + 4].try_into().unwrap());
    assert!((first - 0.981_656_85).abs() < 1e-4, "{first}");
    let error = server.ask("POST", "/v2/models/iris/infer", &headers, &bytes[..15]).error(400);
    assert!(error.contains("15"), "{error}");
    server
        .ask("POST", "/v2/models/iris/infer", &[("Inference-Header-Content-Length", "x")], &bytes)
        .error(400);
    // The same by /predict.
    let octets = [("Content-Type", "application/octet-stream")];
    server.ask("POST", "/predict/iris", &octets, &bytes).ok();
}
