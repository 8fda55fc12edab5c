//! The metrics of Triton's inference requests, by its names and labels, so that dashboards made for it work.
//!
//! Their names are older than Prometheus' conventions. All of them are counters but the last.

use super::{is_loaded, of};
use crate::telemetry::{
    exposition::{Exposition, Kind},
    snapshot::Model,
    statistics::Reason,
};

/// What a failure is to Triton.
const REASONS: [&str; 4] = ["REJECTED", "CANCELED", "BACKEND", "OTHER"];

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Full | Reason::Closed => "REJECTED",
        Reason::Cancelled => "CANCELED",
        Reason::Model | Reason::Panicked => "BACKEND",
        Reason::Deadline | Reason::Input | Reason::Answer | Reason::Stopped => "OTHER",
    }
}

/// A name, its help, and its value.
type Counter = (&'static str, &'static str, fn(&Model) -> u64);

const COUNTS: [Counter; 3] = [
    ("nv_inference_request_success", "Requests that were answered.", |model| model.counts.requests_success),
    ("nv_inference_count", "Rows of requests that were answered.", |model| model.counts.rows),
    ("nv_inference_exec_count", "Runs that gave an answer.", |model| model.counts.executions),
];

const DURATIONS: [Counter; 5] = [
    (
        "nv_inference_request_duration_us",
        "How long requests that were answered took, in microseconds.",
        |model| {
            let time = &model.time;
            microseconds(time.queue.total_s + time.prepare.total_s + time.run.total_s + time.finish.total_s)
        },
    ),
    ("nv_inference_queue_duration_us", "How long these waited for workers, in microseconds.", |model| {
        microseconds(model.time.queue.total_s)
    }),
    (
        "nv_inference_compute_input_duration_us",
        "How long their tensors took to make, in microseconds.",
        |model| microseconds(model.time.prepare.total_s),
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "How long the model ran for them, in microseconds.",
        |model| microseconds(model.time.run.total_s),
    ),
    (
        "nv_inference_compute_output_duration_us",
        "How long their answers took to make, in microseconds.",
        |model| microseconds(model.time.finish.total_s),
    ),
];

pub(super) fn metrics(to: &mut Exposition, models: &[Model]) {
    let loaded = || models.iter().filter(|model| is_loaded(model));
    for (name, help, value) in COUNTS.into_iter().chain(DURATIONS) {
        let mut family = to.family(name, Kind::Counter, help);
        loaded().for_each(|model| family.sample(&of(model), value(model)));
    }
    let mut failures =
        to.family("nv_inference_request_failure", Kind::Counter, "Requests that were not answered.");
    for model in loaded() {
        for name in REASONS {
            let [model_label, version] = of(model);
            failures.sample(&[model_label, version, ("reason", name)], failed(model, name));
        }
    }
    let help = "Requests that wait for a worker.";
    let mut pending = to.family("nv_inference_pending_request_count", Kind::Gauge, help);
    loaded().for_each(|model| pending.sample(&of(model), model.queue_requests));
}

/// The requests that failed for what is this to Triton.
fn failed(model: &Model, name: &str) -> u64 {
    let reasons = Reason::ALL.into_iter().filter(|of| reason(*of) == name);
    reasons.filter_map(|reason| model.counts.requests_failed.get(reason.name())).sum()
}

fn microseconds(seconds: f64) -> u64 {
    // A sum of times is positive, and far from the end of a u64.
    (seconds * 1e6).round() as u64
}
