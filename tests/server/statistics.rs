//! Counters are exact: after any load they are what was sent, by every wire.

use crate::{
    harness::{Server, eventually, packet},
    pool::{ask_at_once, with_fakes},
    wires,
};
use predictd_protocol::gateway::detect::Wire;
use serde_json::{Value, json};
use std::{io::Write, os::unix::net::UnixStream, thread, time::SystemTime};

const WIRES: [Wire; 3] = [Wire::Uwsgi, Wire::FastCgi, Wire::Http];

/// The only version's statistics, with what must hold for all.
#[track_caller]
fn stats(server: &Server, model: &str) -> Value {
    let answer = server.get(&format!("/v2/models/{model}/stats")).ok();
    let [stats] = &answer["model_stats"].as_array().unwrap()[..] else { panic!("{answer}") };
    assert_eq!((&stats["name"], &stats["version"]), (&json!(model), &json!("1")));
    let parts = &stats["inference_stats"];
    let ns = |part: &str| parts[part]["ns"].as_u64().unwrap();
    for part in ["queue", "compute_input", "compute_infer", "compute_output"] {
        assert_eq!(parts[part]["count"], parts["success"]["count"], "{part}: {stats}");
    }
    let sum = ns("queue") + ns("compute_input") + ns("compute_infer") + ns("compute_output");
    assert_eq!(ns("success"), sum, "{stats}");
    for none in ["cache_hit", "cache_miss"] {
        assert_eq!(parts[none], json!({ "count": 0, "ns": 0 }));
    }
    let mut runs = 0;
    for batch in stats["batch_stats"].as_array().unwrap() {
        let count = &batch["compute_infer"]["count"];
        assert_eq!([&batch["compute_input"]["count"], &batch["compute_output"]["count"]], [count, count]);
        assert!(batch["compute_infer"]["ns"].as_u64().unwrap() <= ns("compute_infer"));
        runs += count.as_u64().unwrap();
    }
    assert_eq!(stats["execution_count"], runs, "{stats}");
    stats.clone()
}

/// Requests answered, those that failed, rows, runs.
fn counts(stats: &Value) -> [u64; 4] {
    let parts = &stats["inference_stats"];
    let all = [
        &parts["success"]["count"],
        &parts["fail"]["count"],
        &stats["inference_count"],
        &stats["execution_count"],
    ];
    all.map(|count| count.as_u64().unwrap())
}

/// Rows of each run, and how many there were.
fn sizes(stats: &Value) -> Vec<(u64, u64)> {
    let batches = stats["batch_stats"].as_array().unwrap().iter();
    batches
        .map(|batch| {
            (batch["batch_size"].as_u64().unwrap(), batch["compute_infer"]["count"].as_u64().unwrap())
        })
        .collect()
}

fn iris(rows: usize) -> String {
    let data = vec![[5.1, 3.5, 1.4, 0.2]; rows];
    let x = json!({ "name": "measurements", "datatype": "FP32", "shape": [rows, 4], "data": data });
    json!({ "inputs": [x] }).to_string()
}

#[test]
fn counters_are_what_was_sent_by_each_wire() {
    let server = Server::start();
    let infer = "/v2/models/iris/infer";
    assert_eq!(counts(&stats(&server, "iris")), [0; 4], "a warm-up is no request");
    assert_eq!(stats(&server, "iris")["last_inference"], 0);
    let mut last = 0;
    for (wire, round) in WIRES.into_iter().zip(1..) {
        let ask = |headers: &[(&str, &str)], target: &str, body: &[u8]| {
            wires::ask(&server, wire, "POST", target, headers, body).status
        };
        let raw = vec![0; 5 * 16];
        let bytes = [
            br#"{"inputs":[{"name":"measurements","datatype":"FP32","shape":[2,4],"parameters":{"binary_data_size":32}}]}"#,
            &[0; 32][..],
        ]
        .concat();
        let length = (bytes.len() - 32).to_string();
        for (headers, target, body) in [
            (&[][..], infer, iris(1).as_bytes()),
            (&[], infer, iris(3).as_bytes()),
            // More than share a run, and read by a worker.
            (&[], infer, iris(4000).as_bytes()),
            (&[("Inference-Header-Content-Length", &*length)], infer, &bytes),
            (&[("Inference-Header-Content-Length", "0")], infer, &raw),
            (&[], "/predict/iris", b"[[5.1, 3.5, 1.4, 0.2]]"),
        ] {
            assert_eq!(ask(headers, target, body), 200);
        }
        // What is refused before it gets to the model is not its failure, as in Triton; what a worker finds is.
        assert_eq!(ask(&[], infer, b"{}"), 400);
        let wrong = iris(4000).replace("measurements", "measurement");
        assert_eq!(ask(&[], infer, wrong.as_bytes()), 400);
        assert_eq!(ask(&[], "/v2/models/iris/versions/2/infer", b"{}"), 404);

        let stats = stats(&server, "iris");
        assert_eq!(counts(&stats), [6 * round, round, 4012 * round, 6 * round]);
        assert_eq!(sizes(&stats), [(1, 2 * round), (2, round), (3, round), (5, round), (4000, round)]);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let inference = u128::from(stats["last_inference"].as_u64().unwrap());
        assert!(inference > last && now - 60_000 < inference && inference <= now, "{stats}");
        last = inference;
    }
}

#[test]
fn counters_are_exact_under_load_that_shares_runs() {
    const ROUNDS: u64 = 60;
    let server = Server::start();
    let watched = thread::scope(|scope| {
        let clients: Vec<_> = (0..12u64)
            .map(|client| {
                let server = &server;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let rows = usize::try_from((client + round) % 4 + 1).unwrap();
                        let wire = WIRES[usize::try_from(client % 3).unwrap()];
                        let reply = wires::ask(
                            server,
                            wire,
                            "POST",
                            "/v2/models/iris/infer",
                            &[],
                            iris(rows).as_bytes(),
                        );
                        assert_eq!(reply.status, 200);
                    }
                })
            })
            .collect();
        // A snapshot in the middle of it all is consistent in itself.
        let mut watched = 0;
        while clients.iter().any(|client| !client.is_finished()) {
            stats(&server, "iris");
            watched += 1;
        }
        watched
    });
    assert!(watched > 0);
    let stats = stats(&server, "iris");
    let requests = 12 * ROUNDS;
    // Four in a row have ten rows.
    let rows = requests / 4 * 10;
    let [answered, failed, counted, runs] = counts(&stats);
    assert_eq!([answered, failed, counted], [requests, 0, rows]);
    assert!(runs < requests, "none was shared");
    let sizes = sizes(&stats);
    assert_eq!(sizes.iter().map(|(rows, count)| rows * count).sum::<u64>(), rows, "{sizes:?}");
    assert!(sizes.iter().all(|(rows, _)| *rows <= 8), "{sizes:?}");
}

#[test]
fn every_failure_is_counted_once() {
    let fakes = [
        ("sleepy", "[batch]\nmax_rows = 1\nqueue = 1\n[fake]\nsleep = '300ms'"),
        ("bomb", "[fake]\npanic = true"),
        ("late", "deadline = '50ms'\n[fake]\nsleep = '1h'"),
        ("left", "[fake]\nsleep = '1h'"),
    ];
    let server = with_fakes("[workers]\ncount = 1", &fakes);
    let fake = |parameters: &str| {
        format!(
            r#"{{"inputs":[{{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}}]{parameters}}}"#
        )
    };
    // One runs, one waits, the others are refused.
    let answers = ask_at_once(&server, 8, 1, "/v2/models/sleepy/infer", &fake(""));
    let answered = answers.iter().filter(|(_, reply)| reply.status == 200).count() as u64;
    let refused = answers.iter().filter(|(_, reply)| reply.status == 503).count() as u64;
    assert_eq!(answered + refused, 8);
    assert!(answered >= 1 && refused >= 1, "{answered} answered, {refused} refused");
    assert_eq!(counts(&stats(&server, "sleepy")), [answered, refused, answered, answered]);

    server.post("/v2/models/bomb/infer", fake("")).error(500);
    assert_eq!(counts(&stats(&server, "bomb")), [0, 1, 0, 0]);
    server.post("/v2/models/late/infer", fake("")).error(504);
    server.post("/v2/models/late/infer", fake(r#","parameters":{"timeout":1000}"#)).error(504);
    let late = stats(&server, "late");
    assert_eq!(counts(&late), [0, 2, 0, 0]);
    assert!(late["inference_stats"]["fail"]["ns"].as_u64().unwrap() >= 51_000_000, "{late}");
    let x = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}"#;
    server.post("/v2/models/fail_at_run/infer", x).error(500);
    assert_eq!(counts(&stats(&server, "fail_at_run")), [0, 1, 0, 0]);
    // A client that is gone has no answer either.
    let body = fake("");
    let request = [&packet("POST", "/v2/models/left/infer", &[], body.len())[..], body.as_bytes()].concat();
    let mut client = UnixStream::connect(server.socket()).unwrap();
    client.write_all(&request).unwrap();
    server.get("/v2/health/live").ok();
    drop(client);
    eventually("its request has failed", || counts(&stats(&server, "left")) == [0, 1, 0, 0]);
}

#[test]
fn statistics_are_of_all_models_or_of_one() {
    let server = Server::start();
    server.post("/v2/models/iris/infer", iris(2)).ok();
    let all = server.get("/v2/models/stats").ok();
    let all = all["model_stats"].as_array().unwrap();
    let names: Vec<_> = all.iter().map(|stats| stats["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.contains(&"digits") && names.contains(&"identity_bool"), "{names:?}");
    let iris = all.iter().find(|stats| stats["name"] == "iris").unwrap();
    assert_eq!(counts(iris), [1, 0, 2, 1]);
    assert_eq!(server.get("/v2/models/iris/stats").ok()["model_stats"], json!([iris]));
    assert_eq!(server.get("/v2/models/iris/versions/1/stats?x=1").ok()["model_stats"], json!([iris]));
    assert_eq!(iris["response_stats"], json!({}));
    assert_eq!(iris["memory_usage"], json!([]));
    let head = server.ask("HEAD", "/v2/models/stats", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(server.get("/v2/models/none/stats").error(404).contains("there is no model 'none'"));
    assert!(server.get("/v2/models/iris/versions/9/stats").error(404).contains("has no version 9"));
    server.post("/v2/models/iris/stats", "").error(405);
    server.post("/v2/models/stats", "").error(405);
}
