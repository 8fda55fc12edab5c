//! That the text has what the snapshot has, and is one that Prometheus reads.

use super::*;
use crate::telemetry::{
    histogram::Histogram,
    snapshot::{Alarm, Counts, ModelTimes, Requests, Route, Socket, Worker, bounds_s},
    statistics::Reason,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

fn times(milliseconds: &[u64]) -> Times {
    let mut histogram = Histogram::default();
    milliseconds.iter().for_each(|time| histogram.record(Duration::from_millis(*time)));
    Times::from(&histogram)
}

fn model(name: &str) -> Model {
    let failed = Reason::ALL.into_iter().zip(1..).map(|(reason, count)| (reason.name().to_owned(), count));
    Model {
        name: name.into(),
        version: Some("3".into()),
        state: "ready".into(),
        queue_rows: 5,
        queue_requests: 4,
        counts: Counts {
            requests_success: 2,
            requests_failed: failed.collect(),
            rows: 9,
            executions: 2,
            batch_rows: vec![1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            executions_rows: 9,
        },
        time: ModelTimes {
            queue: times(&[1, 2]),
            prepare: times(&[0, 0]),
            run: times(&[4, 40_000]),
            finish: times(&[1, 1]),
        },
        ..Model::default()
    }
}

fn snapshot() -> Snapshot {
    let route = Route {
        wire: "uwsgi".into(),
        route: "/predict/{model}".into(),
        answered: [("200".into(), 2), ("503".into(), 1)].into(),
        time: times(&[1, 1, 3]),
    };
    let socket =
        Socket { address: "unix:/a\"b".into(), waiting: Some(3), backlog: Some(9), ..Socket::default() };
    let unknown = Socket { address: "fd:x".into(), ..Socket::default() };
    let worker = |worker, state: &str| Worker { worker, state: state.into(), ..Worker::default() };
    Snapshot {
        version: "1.2.3".into(),
        requests: Requests { received: 4, aborted: 1, routes: vec![route], ..Requests::default() },
        rejected: [("full".to_owned(), 7)].into(),
        sockets: vec![socket, unknown],
        workers: vec![worker(1, "slow"), worker(2, "idle"), worker(3, "idle")],
        models: vec![
            model("digits"),
            Model { name: "gone".into(), state: "unavailable".into(), ..Model::default() },
            Model { name: "gone".into(), state: "unloading".into(), ..Model::default() },
        ],
        alarms: vec![Alarm { kind: "slow".into(), ..Alarm::default() }],
        started_s: Some(1_700_000_000.25),
        bucket_bounds_s: bounds_s().collect(),
        ..Snapshot::default()
    }
}

/// The samples by name and labels, where everything is as it has to be.
fn read(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let mut family = "";
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').unwrap().0;
            assert!(families.insert(family), "{family} is there twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, family);
            let is_own_counter = kind == "counter" && !name.starts_with("nv_");
            assert_eq!(name.ends_with("_total"), is_own_counter, "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.starts_with(family), "{line} is not of {family}");
            assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{line}");
        }
    }
    samples
}

#[test]
fn what_the_snapshot_has_is_told() {
    let text = text(&snapshot());
    let samples = read(&text);
    for (series, expected) in [
        (r#"predictd_build_info{version="1.2.3"}"#, 1.0),
        (r#"predictd_requests_total{wire="uwsgi",route="/predict/{model}",status="503"}"#, 1.0),
        (r#"predictd_request_seconds_count{wire="uwsgi",route="/predict/{model}"}"#, 3.0),
        (r#"predictd_request_seconds_bucket{wire="uwsgi",route="/predict/{model}",le="0.001"}"#, 2.0),
        (r#"predictd_request_seconds_sum{wire="uwsgi",route="/predict/{model}"}"#, 0.005),
        (r#"predictd_rejected_total{reason="full"}"#, 7.0),
        (r#"predictd_accept_queue{address="unix:/a\"b"}"#, 3.0),
        (r#"predictd_workers{state="idle"}"#, 2.0),
        (r#"predictd_workers{state="slow"}"#, 1.0),
        (r#"predictd_workers{state="stuck"}"#, 0.0),
        (r#"predictd_alarms{kind="slow"}"#, 1.0),
        (r#"predictd_alarms{kind="memory"}"#, 0.0),
        (r#"predictd_queue_rows{model="digits",version="3"}"#, 5.0),
        (r#"predictd_model_state{model="gone",version="",state="unavailable"}"#, 1.0),
        (r#"predictd_model_state{model="gone",version="",state="unloading"}"#, 1.0),
        (r#"predictd_model_state{model="gone",version="",state="ready"}"#, 0.0),
        (r#"predictd_model_state{model="digits",version="3",state="ready"}"#, 1.0),
        (r#"predictd_model_requests_total{model="digits",version="3",result="success"}"#, 2.0),
        (r#"predictd_model_requests_total{model="digits",version="3",result="full"}"#, 1.0),
        (r#"predictd_run_seconds_bucket{model="digits",version="3",le="30"}"#, 1.0),
        (r#"predictd_run_seconds_bucket{model="digits",version="3",le="+Inf"}"#, 2.0),
        (r#"predictd_batch_rows_bucket{model="digits",version="3",le="4"}"#, 1.0),
        (r#"predictd_batch_rows_bucket{model="digits",version="3",le="8"}"#, 2.0),
        (r#"predictd_batch_rows_bucket{model="digits",version="3",le="1024"}"#, 2.0),
        (r#"predictd_batch_rows_sum{model="digits",version="3"}"#, 9.0),
        ("process_start_time_seconds", 1_700_000_000.25),
        (r#"nv_inference_request_success{model="digits",version="3"}"#, 2.0),
        (r#"nv_inference_count{model="digits",version="3"}"#, 9.0),
        (r#"nv_inference_exec_count{model="digits",version="3"}"#, 2.0),
        (r#"nv_inference_request_duration_us{model="digits",version="3"}"#, 40_009_000.0),
        (r#"nv_inference_queue_duration_us{model="digits",version="3"}"#, 3000.0),
        (r#"nv_inference_compute_infer_duration_us{model="digits",version="3"}"#, 40_004_000.0),
        (r#"nv_inference_pending_request_count{model="digits",version="3"}"#, 4.0),
        // full and closed; cancelled; model and panicked; all others.
        (r#"nv_inference_request_failure{model="digits",version="3",reason="REJECTED"}"#, 3.0),
        (r#"nv_inference_request_failure{model="digits",version="3",reason="CANCELED"}"#, 4.0),
        (r#"nv_inference_request_failure{model="digits",version="3",reason="BACKEND"}"#, 13.0),
        (r#"nv_inference_request_failure{model="digits",version="3",reason="OTHER"}"#, 25.0),
    ] {
        assert_eq!(samples.get(series), Some(&expected), "{series}");
    }
    assert!(!text.contains("fd:x"), "a queue that the kernel does not tell of has no length");
    assert!(!text.contains(r#"nv_inference_count{model="gone""#) && !text.contains("process_max_fds"));
}

#[test]
fn a_histogram_grows_from_bound_to_bound() {
    let text = text(&snapshot());
    let mut last: Option<(String, u64)> = None;
    let mut histograms = 0;
    for line in text.lines().filter(|line| line.contains("le=\"")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let of = series.split_once("le=").unwrap().0.to_owned();
        let value = value.parse().unwrap();
        match last {
            Some((before, least)) if before == of => assert!(value >= least, "{line}"),
            _ => histograms += 1,
        }
        last = Some((of, value));
    }
    assert_eq!(histograms, 6);
}
