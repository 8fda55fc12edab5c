//! NVIDIA's perf_analyzer, which takes no answer that is not as Triton's: each run must end well, with the figures of both
//! sides, and predictd must have counted what was sent.

use super::{Reachable, Way, run};
use crate::harness::{Pass, read, tool};
use std::fs;

const REQUESTS: u64 = 500;

/// Sees that all is well with `perf_analyzer -m model options`, whose requests have so many rows.
#[track_caller]
fn check(reachable: &Reachable, rows: u64, model: &str, options: &str) {
    let count = || {
        let stats = &reachable.server.get(&format!("/v2/models/{model}/stats")).ok()["model_stats"][0];
        (
            stats["inference_stats"]["success"]["count"].as_u64().unwrap(),
            stats["inference_count"].as_u64().unwrap(),
        )
    };
    let before = count();
    let said = analyze(reachable, &format!("-m {model} --request-count {REQUESTS} {options}"));
    let after = count();
    assert_eq!((after.0 - before.0, after.1 - before.1), (REQUESTS, REQUESTS * rows), "{said}");
    assert_eq!(number(&said, "Request count: "), REQUESTS as f64, "{said}");
    assert!(number(&said, "Throughput: ") > 0.0, "{said}");
    check_statistics(&said, rows);
}

/// Those of the server, which it asks for between its requests, so that it may miss the first of them.
#[track_caller]
fn check_statistics(said: &str, rows: u64) {
    let number = |name: &str| number(said, name);
    let (requests, inferences) = (number("Successful request count: "), number("Inference count: "));
    let runs = number("Execution count: ");
    assert!(requests > 0.0 && runs > 0.0 && runs <= requests, "{said}");
    assert_eq!(inferences, requests * rows as f64, "{said}");
    assert!(number("compute infer ") >= 0.0, "{said}");
    let lower = said.to_lowercase();
    for word in ["fail", "error", "warning"] {
        assert!(!lower.contains(word), "{said}");
    }
}

#[track_caller]
fn analyze(reachable: &Reachable, options: &str) -> String {
    let words = format!("--service-kind triton -i http -u {} {options}", reachable.address);
    run(&tool("perf_analyzer"), &words.split(' ').collect::<Vec<_>>())
}

/// The number after `name`.
#[track_caller]
fn number(said: &str, name: &str) -> f64 {
    let rest = said.split_once(name).unwrap_or_else(|| panic!("there is no '{name}' in\n{said}")).1;
    let digits = rest.split([' ', '\n']).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|error| panic!("{name}{digits}: {error}\n{said}"))
}

fn check_all(way: Way) {
    // It takes requests with rows, and has each run by itself.
    let alone = tempfile::tempdir().unwrap();
    fs::write(alone.path().join("model.onnx"), read("tests/data/models/half/model.onnx")).unwrap();
    fs::write(alone.path().join("model.toml"), "[batch]\nmax_rows = 1").unwrap();
    let reachable = Reachable::with(way, |command| {
        command.arg("--model").arg(format!("alone={}", alone.path().display()));
    });
    assert_eq!(reachable.server.get("/v2/models/alone/config").ok()["max_batch_size"], 0);
    let json = "--input-tensor-format json --output-tensor-format json";
    check(&reachable, 1, "half", "--concurrency-range 4");
    check(&reachable, 3, "half", &format!("-b 3 --concurrency-range 8 --async {json}"));
    check(&reachable, 2, "add_sub", "-b 2 --concurrency-range 4 --async --output-tensor-format json");
    check(&reachable, 1, "identity_string", "--shape x:4 --string-length 9 --concurrency-range 2");
    check(&reachable, 1, "identity_string", &format!("--shape x:4 --concurrency-range 2 {json}"));
    // Random bits, so that NaN is among them.
    check(&reachable, 2, "digits", &format!("-b 2 --concurrency-range 2 {json}"));
    check(&reachable, 1, "mul_1", "--concurrency-range 4 --async");
    check(&reachable, 1, "alone", &format!("--shape x:1,8 --concurrency-range 2 {json}"));
    check_windows(&reachable);
}

/// As it runs unless told otherwise, until several windows agree; here any do.
fn check_windows(reachable: &Reachable) {
    let windows =
        "--measurement-mode count_windows --measurement-request-count 100 --stability-percentage 999";
    let said = analyze(reachable, &format!("-m iris {windows}"));
    assert!(number(&said, "Request count: ") >= 300.0, "{said}");
    assert!(number(&said, "Throughput: ") > 0.0, "{said}");
    check_statistics(&said, 1);
}

#[test]
#[ignore = "needs scripts/setup.sh perf_analyzer"]
fn perf_analyzer_directly() {
    check_all(Way::Direct);
}

#[test]
#[ignore = "needs scripts/setup.sh perf_analyzer"]
fn perf_analyzer_by_uwsgi() {
    check_all(Way::By(Pass::Uwsgi));
}

#[test]
#[ignore = "needs scripts/setup.sh perf_analyzer"]
fn perf_analyzer_by_fastcgi() {
    check_all(Way::By(Pass::FastCgi));
}

#[test]
#[ignore = "needs scripts/setup.sh perf_analyzer"]
fn perf_analyzer_by_http() {
    check_all(Way::By(Pass::Http));
}
