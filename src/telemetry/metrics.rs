//! The snapshot as Prometheus reads it: `GET /metrics`.
//!
//! A pure function of the snapshot, so that it says what `/status` says. Labels have few values: models, routes by their
//! templates, reasons by name; what a client sends is none of them.

mod triton;

pub use super::exposition::CONTENT_TYPE;

use super::{
    exposition::{Exposition, Family, Kind},
    snapshot::{Model, Snapshot, Times},
};
use std::collections::BTreeMap;

/// All families.
#[must_use]
pub fn text(snapshot: &Snapshot) -> String {
    let mut to = Exposition::default();
    server(&mut to, snapshot);
    requests(&mut to, snapshot);
    sockets(&mut to, snapshot);
    workers(&mut to, snapshot);
    models(&mut to, snapshot);
    triton::metrics(&mut to, &snapshot.models);
    process(&mut to, snapshot);
    to.into_text()
}

use Kind::{Counter, Gauge, Histogram};

/// What an alarm may be of.
const ALARMS: [&str; 9] = [
    "accept",
    "accept_queue",
    "closed",
    "connections",
    "memory",
    "queue_full",
    "slow",
    "stuck",
    "unavailable",
];

/// What a thread may be at.
const WORKER_STATES: [&str; 5] = ["idle", "preparing", "running", "slow", "stuck"];

const MODEL_STATES: [&str; 5] = ["closed", "loading", "ready", "unavailable", "unloading"];

fn server(to: &mut Exposition, snapshot: &Snapshot) {
    to.family("predictd_build_info", Gauge, "1, of the version that runs.")
        .sample(&[("version", &snapshot.version)], 1);
    to.single(
        "predictd_ready",
        Gauge,
        "1 where the server serves and every model that should be there is, else 0.",
        u8::from(snapshot.ready),
    );
    let mut alarms =
        to.family("predictd_alarms", Gauge, "Things that are wrong right now; /status tells them.");
    for kind in ALARMS {
        let count = snapshot.alarms.iter().filter(|alarm| alarm.kind == kind).count();
        alarms.sample(&[("kind", kind)], count);
    }
    let mut loads = to.family("predictd_loads_total", Counter, "Models that were to be loaded.");
    loads.sample(&[("result", "loaded")], snapshot.loads.loaded);
    loads.sample(&[("result", "failed")], snapshot.loads.failed);
    to.single(
        "predictd_loading",
        Gauge,
        "1 while models are loaded or unloaded, else 0.",
        u8::from(snapshot.loading.is_some()),
    );
    to.single(
        "predictd_in_flight_bytes",
        Gauge,
        "Bytes of requests held now.",
        snapshot.memory.in_flight_bytes,
    );
    to.single(
        "predictd_in_flight_limit_bytes",
        Gauge,
        "Bytes of requests that may be held: limits.in_flight.",
        snapshot.memory.in_flight_limit_bytes,
    );
}

fn requests(to: &mut Exposition, snapshot: &Snapshot) {
    let requests = &snapshot.requests;
    to.single(
        "predictd_requests_received_total",
        Counter,
        "Requests to the public addresses; each is answered, aborted or under way.",
        requests.received,
    );
    to.single(
        "predictd_requests_aborted_total",
        Counter,
        "Requests whose clients went away before they had an answer.",
        requests.aborted,
    );
    to.single("predictd_requests_under_way", Gauge, "Requests that have no answer yet.", requests.under_way);
    let mut answered = to.family(
        "predictd_requests_total",
        Counter,
        "Requests that were answered, by wire, route and status.",
    );
    for route in &requests.routes {
        for (status, count) in &route.answered {
            let labels = [("wire", &*route.wire), ("route", &*route.route), ("status", &**status)];
            answered.sample(&labels, count);
        }
    }
    let mut took = to.family(
        "predictd_request_seconds",
        Histogram,
        "From when a request was there in full until it had its answer.",
    );
    for route in &requests.routes {
        times(&mut took, &[("wire", &route.wire), ("route", &route.route)], snapshot, &route.time);
    }
    let mut rejected =
        to.family("predictd_rejected_total", Counter, "Work that was not taken, answered 503 at once.");
    for (reason, count) in &snapshot.rejected {
        rejected.sample(&[("reason", reason)], count);
    }
}

fn sockets(to: &mut Exposition, snapshot: &Snapshot) {
    let connections = &snapshot.connections;
    to.single("predictd_connections", Gauge, "Connections to the public addresses.", connections.open);
    to.single(
        "predictd_connections_limit",
        Gauge,
        "How many there may be: limits.connections.",
        connections.limit,
    );
    to.single(
        "predictd_connections_accepted_total",
        Counter,
        "Connections that have come.",
        connections.accepted,
    );
    to.single(
        "predictd_connections_refused_total",
        Counter,
        "Connections of users who may not connect: socket.allow_users.",
        connections.refused,
    );
    let known = || {
        let sockets = snapshot.sockets.iter();
        sockets.filter_map(|socket| Some((&*socket.address, socket.waiting?, socket.backlog?)))
    };
    let mut waiting = to.family("predictd_accept_queue", Gauge, "Connections that wait to be accepted.");
    known().for_each(|(address, count, _)| waiting.sample(&[("address", address)], count));
    let mut backlog = to.family("predictd_accept_queue_limit", Gauge, "How many may wait to be accepted.");
    known().for_each(|(address, _, limit)| backlog.sample(&[("address", address)], limit));
}

fn workers(to: &mut Exposition, snapshot: &Snapshot) {
    let mut workers = to.family(
        "predictd_workers",
        Gauge,
        "Threads that run models, also those that stand in for slow ones.",
    );
    for state in WORKER_STATES {
        let count = snapshot.workers.iter().filter(|worker| worker.state == state).count();
        workers.sample(&[("state", state)], count);
    }
    to.single("predictd_stuck_runs", Gauge, "Runs that did not end when told to.", snapshot.stuck.len());
    let numbers: Vec<String> = snapshot.workers.iter().map(|worker| worker.worker.to_string()).collect();
    // Those of spares that have left, so that sums only grow.
    let former = ("former", &snapshot.former_workers);
    let done = || {
        let now = numbers.iter().zip(&snapshot.workers).map(|(number, worker)| (&**number, &worker.done));
        now.chain([former])
    };
    let mut runs = to.family("predictd_worker_runs_total", Counter, "Runs of models, by worker.");
    done().for_each(|(worker, done)| runs.sample(&[("worker", worker)], done.executions));
    let mut rows = to.family("predictd_worker_rows_total", Counter, "Rows of these runs.");
    done().for_each(|(worker, done)| rows.sample(&[("worker", worker)], done.rows_total));
    let mut failed = to.family(
        "predictd_worker_failed_runs_total",
        Counter,
        "Of these runs, those that failed or panicked.",
    );
    done().for_each(|(worker, done)| failed.sample(&[("worker", worker)], done.exceptions));
    let mut busy = to.family(
        "predictd_worker_busy_seconds_total",
        Counter,
        "How long a worker was at something; what it is at counts when it is over.",
    );
    done().for_each(|(worker, done)| busy.sample(&[("worker", worker)], done.busy_s));
}

fn models(to: &mut Exposition, snapshot: &Snapshot) {
    let mut states =
        to.family("predictd_model_state", Gauge, "1 of the state that a model is in, 0 of others.");
    // A version that leaves may not have been loaded again: then it is in two.
    let mut known: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for model in &snapshot.models {
        known.entry(of(model)).or_default().push(&model.state);
    }
    for ([name, version], of) in known {
        for state in MODEL_STATES {
            states.sample(&[name, version, ("state", state)], u8::from(of.contains(&state)));
        }
    }
    let loaded = || snapshot.models.iter().filter(|model| is_loaded(model));
    let mut gauge = |name, help, value: fn(&Model) -> usize| {
        let mut family = to.family(name, Gauge, help);
        loaded().for_each(|model| family.sample(&of(model), value(model)));
    };
    gauge("predictd_queue_rows", "Rows that wait for a model.", |model| model.queue_rows);
    gauge("predictd_queue_limit_rows", "Rows that may wait for a model.", |model| model.queue_limit);
    gauge(
        "predictd_model_in_flight_requests",
        "Requests that wait for a model or are with a worker.",
        |model| model.in_flight,
    );
    gauge("predictd_model_running_workers", "Workers that are at a model's requests.", |model| model.running);
    let mut requests =
        to.family("predictd_model_requests_total", Counter, "Requests for a model, by what became of them.");
    for model in loaded() {
        let [name, version] = of(model);
        requests.sample(&[name, version, ("result", "success")], model.counts.requests_success);
        for (reason, count) in &model.counts.requests_failed {
            requests.sample(&[name, version, ("result", reason)], count);
        }
    }
    let mut histogram = |name, help, value: fn(&Model) -> &Times| {
        let mut family = to.family(name, Histogram, help);
        loaded().for_each(|model| times(&mut family, &of(model), snapshot, value(model)));
    };
    histogram(
        "predictd_queue_wait_seconds",
        "How long requests that were answered waited for workers.",
        |model| &model.time.queue,
    );
    histogram("predictd_prepare_seconds", "How long their tensors took to make.", |model| {
        &model.time.prepare
    });
    histogram(
        "predictd_run_seconds",
        "How long the model ran for each; a run that several share counts for each of them.",
        |model| &model.time.run,
    );
    histogram("predictd_finish_seconds", "How long their answers took to make.", |model| &model.time.finish);
    let mut rows = to.family("predictd_batch_rows", Histogram, "Rows of runs that gave an answer.");
    for model in loaded() {
        let sizes = &model.counts.batch_rows;
        let bounds = (0..sizes.len().saturating_sub(1)).map(|power| f64::from(1u32 << power));
        rows.histogram(&of(model), bounds, sizes, model.counts.executions_rows);
    }
}

fn process(to: &mut Exposition, snapshot: &Snapshot) {
    let cpu = snapshot.cpu_s.user + snapshot.cpu_s.system;
    to.single(
        "process_cpu_seconds_total",
        Counter,
        "Time of processors, in the program and in the kernel.",
        cpu,
    );
    let memory = &snapshot.memory;
    to.single("process_resident_memory_bytes", Gauge, "Bytes in physical memory.", memory.rss_bytes);
    to.single("process_virtual_memory_bytes", Gauge, "Bytes of addresses.", memory.virtual_bytes);
    to.single("process_open_fds", Gauge, "Descriptors that are open.", snapshot.files.open);
    if let Some(limit) = snapshot.files.limit {
        to.single("process_max_fds", Gauge, "Descriptors that may be open.", limit);
    }
    if let Some(started) = snapshot.started_s {
        let help = "When the process was started, in seconds since the epoch.";
        to.single("process_start_time_seconds", Gauge, help, started);
    }
}

/// Whether there is a version that has requests: one that is to come, or could not be loaded, has none.
fn is_loaded(model: &Model) -> bool {
    !model.time.run.buckets.is_empty()
}

fn of(model: &Model) -> [(&'static str, &str); 2] {
    [("model", &model.name), ("version", model.version.as_deref().unwrap_or_default())]
}

fn times(family: &mut Family<'_>, labels: &[(&str, &str)], snapshot: &Snapshot, times: &Times) {
    family.histogram(labels, snapshot.bucket_bounds_s.iter().copied(), &times.buckets, times.total_s);
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
