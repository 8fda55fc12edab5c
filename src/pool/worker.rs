//! One pinned thread: takes work, does it, survives it.

use super::{Job, queue::Queue};
use crate::{
    os::{cpus::CpuId, process},
    telemetry::access::Work,
};
use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

/// Starts worker `number`, pinned to `cpus` if there are any.
pub(super) fn start(number: usize, cpus: Vec<CpuId>, queue: Arc<Queue<Job>>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        if !cpus.is_empty()
            && let Err(error) = process::pin_current_thread(&cpus)
        {
            tracing::warn!(worker = number, "cannot be pinned, and runs wherever it may: {error}");
        }
        while let Some(job) = queue.pop() {
            work(number, job);
        }
    })
}

fn work(number: usize, job: Job) {
    let Job { submitted, interrupt, run } = job;
    if interrupt.is_terminated() {
        return;
    }
    let begun = Work { queue_wait: submitted.elapsed(), batch_rows: 1, worker: number, ..Work::default() };
    // What the work has touched is dropped with it; the engine is used by shared reference and locks what it changes.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&interrupt, begun))) {
        tracing::error!(worker = number, "a run panicked: {}", message(&*panic));
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
