//! Tests of `figures.rs`.

use super::*;
use crate::telemetry::snapshot::{Counts, Done, ModelTimes, Requests};

fn times(count: u64, total_s: f64) -> Times {
    Times { count, total_s, buckets: vec![count], ..Times::default() }
}

fn requests(received: u64, answered: &[(&str, &[(&str, u64)])]) -> Requests {
    let statuses = |statuses: &[(&str, u64)]| {
        statuses.iter().map(|(status, count)| ((*status).to_owned(), *count)).collect()
    };
    Requests {
        received,
        answered: answered.iter().map(|(wire, of)| ((*wire).to_owned(), statuses(of))).collect(),
        latency: [("uwsgi".to_owned(), times(received, received as f64))].into(),
        ..Requests::default()
    }
}

fn model(name: &str, success: u64, failed: u64, queue_rows: usize) -> Model {
    Model {
        name: name.into(),
        version: Some("1".into()),
        queue_rows,
        counts: Counts {
            requests_success: success,
            requests_failed: [("deadline".to_owned(), failed)].into(),
            rows: 4 * success,
            executions: success / 2,
            executions_rows: 4 * success,
            ..Counts::default()
        },
        time: ModelTimes { run: times(success, success as f64 * 0.25), ..ModelTimes::default() },
        ..Model::default()
    }
}

fn worker(worker: usize, state: &str, busy_s: f64, for_s: f64) -> Worker {
    let done = Done { executions: (10.0 * busy_s) as u64, busy_s, ..Done::default() };
    Worker { worker, state: state.into(), for_s, done, ..Worker::default() }
}

fn snapshot(
    pid: u32,
    uptime_s: f64,
    requests: Requests,
    models: Vec<Model>,
    workers: Vec<Worker>,
) -> Snapshot {
    Snapshot { pid, uptime_s, requests, models, workers, ..Snapshot::default() }
}

#[test]
fn counters_become_rates_of_the_interval() {
    let before = snapshot(
        7,
        10.0,
        requests(100, &[("uwsgi", &[("200", 90), ("503", 10)]), ("http", &[])]),
        vec![model("a", 40, 0, 0)],
        vec![worker(1, "idle", 3.0, 0.0), worker(2, "running", 5.0, 0.5)],
    );
    let now = snapshot(
        7,
        12.0,
        requests(160, &[("uwsgi", &[("200", 130), ("404", 8), ("503", 12), ("other", 10)]), ("http", &[])]),
        vec![model("a", 60, 2, 3), model("b", 7, 0, 0)],
        vec![worker(1, "running", 3.0, 1.0), worker(2, "idle", 7.0, 0.0), worker(3, "slow", 0.0, 0.3)],
    );
    let figures = Figures::of(&now, Some(&before), Order::Name);
    assert_eq!(figures.requests, Some(30.0));
    let classes: Vec<(&str, Option<f64>)> =
        figures.classes.iter().map(|(class, rate)| (class.as_str(), *rate)).collect();
    assert_eq!(classes, [("2xx", Some(20.0)), ("4xx", Some(4.0)), ("5xx", Some(1.0)), ("other", Some(5.0))]);
    assert_eq!(figures.wires, [("uwsgi", Some(30.0))], "of a wire that nobody uses nothing is said");
    let latency = figures.latency.unwrap();
    assert_eq!((latency.count, latency.total_s), (60, 60.0));

    let [a, b] = &figures.models[..] else { panic!("two models") };
    assert_eq!((a.requests, a.rows, a.batch, a.failed), (Some(11.0), Some(40.0), Some(8.0), Some(1.0)));
    assert_eq!(a.run.as_ref().and_then(Times::mean_s), Some(0.25));
    assert_eq!((b.requests, b.batch, &b.run), (None, None, &None), "new: nothing is known of its interval");

    let workers: Vec<_> = figures.workers.iter().map(|worker| (worker.runs, worker.busy)).collect();
    assert_eq!(
        workers,
        [(Some(0.0), Some(0.5)), (Some(10.0), Some(0.75)), (None, None)],
        "a run that goes on counts as far as it has come"
    );
}

#[test]
fn a_restart_is_no_interval() {
    let before = snapshot(7, 10.0, requests(100, &[]), vec![model("a", 40, 0, 0)], vec![]);
    for (pid, uptime_s) in [(8, 11.0), (7, 1.0), (7, 10.0)] {
        let now = snapshot(pid, uptime_s, requests(3, &[]), vec![model("a", 1, 0, 0)], vec![]);
        let figures = Figures::of(&now, Some(&before), Order::Name);
        assert_eq!((figures.requests, figures.latency, figures.cpu), (None, None, None), "{pid} {uptime_s}");
        assert_eq!(figures.models[0].requests, None);
    }
}

#[test]
fn a_model_that_was_loaded_anew_counts_from_there() {
    let before = snapshot(7, 10.0, requests(100, &[]), vec![model("a", 40, 0, 0)], vec![]);
    let now = snapshot(7, 11.0, requests(100, &[]), vec![model("a", 8, 0, 0)], vec![]);
    let figures = Figures::of(&now, Some(&before), Order::Name);
    assert_eq!(figures.models[0].requests, Some(0.0), "rather than less than nothing");
    assert_eq!(figures.models[0].run.as_ref().map(|run| run.count), Some(8));
}

#[test]
fn models_are_sorted_by_what_is_asked_and_then_by_name() {
    let models = |by: u64| {
        vec![
            model("a", 4, 0, 0),
            model("b", 4 + 4 * by, by, 2),
            model("c", 4 + 8 * by, 0, 9),
            model("d", 4, 3 * by, 0),
        ]
    };
    let (before, now) = (
        snapshot(7, 10.0, requests(0, &[]), models(0), vec![]),
        snapshot(7, 11.0, requests(0, &[]), models(1), vec![]),
    );
    let mut order = Order::Name;
    for (name, expected) in [
        ("name", "abcd"),
        ("requests/s", "cbda"),
        ("queue", "cbad"),
        ("run time", "bcad"),
        ("failures", "dbac"),
    ] {
        assert_eq!(order.name(), name);
        let figures = Figures::of(&now, Some(&before), order);
        let names: String = figures.models.iter().map(|model| &*model.now.name).collect();
        assert_eq!(names, expected, "by {name}");
        order = order.next();
    }
    assert_eq!(order, Order::Name);
}
