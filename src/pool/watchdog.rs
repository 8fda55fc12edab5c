//! The thread that watches time: deadlines, slow runs, stuck runs.

use super::{Shared, crew::Report, schedule::Event, worker};
use crate::os::{cpus, process};
use std::{io, sync::Arc, thread, time::Instant};

/// Starts it. It ends with the pool's last thread.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let thread = {
        let shared = Arc::clone(shared);
        thread::Builder::new().name("watchdog".into()).spawn(move || watch(&shared))?
    };
    shared.threads().push(thread);
    Ok(())
}

fn watch(shared: &Arc<Shared>) {
    loop {
        let (events, alarm) = {
            let now = Instant::now();
            let mut schedule = shared.monitor.lock();
            if schedule.threads() == 0 {
                return;
            }
            let events = schedule.tick(now);
            if schedule.has_work(now) {
                schedule.wake();
            }
            (events, schedule.alarm())
        };
        events.into_iter().for_each(|event| handle(shared, event));
        shared.watchdog.sleep(alarm);
    }
}

/// Does what the schedule has found out.
pub(super) fn handle(shared: &Arc<Shared>, event: Event) {
    match event {
        Event::Fail(caller, why) => _ = caller.fail(why),
        Event::Terminate(interrupt) => interrupt.terminate(),
        Event::Slow(report) => {
            let Report { lane, worker, running, .. } = &report;
            tracing::warn!(
                model = %lane,
                worker,
                running_ms = running.as_millis(),
                requests = report.requests(),
                "a run is slow; another thread takes its worker's place until it ends"
            );
        }
        Event::Stuck(report) => {
            let Report { lane, worker, thread, running, .. } = &report;
            let core = thread.and_then(process::core_of);
            tracing::error!(
                model = %lane,
                worker,
                core,
                running_s = running.as_secs(),
                requests = report.requests(),
                "a run is stuck: it did not end when told to; its model is closed until it does, or is reloaded"
            );
            // It must not eat the core of one that works.
            if let Some(thread) = *thread
                && let Err(error) = cpus::allowed().and_then(|cores| process::push_aside(thread, &cores))
            {
                tracing::warn!(worker, "a stuck thread keeps its core and its priority: {error}");
            }
        }
        Event::Fatal(reason) => {
            shared.fatal.send_if_modified(|fatal| fatal.is_none() && fatal.replace(reason).is_none());
        }
        Event::Full(lane, waiting) => {
            tracing::warn!(model = %lane, waiting, "the queue is full: requests are refused until there is room");
        }
        Event::Eased(lane, full) => {
            let (lasted_s, refused, peak) = (full.lasted_s(), full.count, full.peak);
            tracing::warn!(model = %lane, lasted_s, refused, peak, "the queue has room again");
        }
        Event::Spare(number) => {
            if let Err(error) = worker::start(shared, number) {
                tracing::error!("no thread can be started to stand in for a slow worker: {error}");
                shared.monitor.lock().forget_spare(number);
            }
        }
    }
}
