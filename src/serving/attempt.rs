//! Loading under watch: on a thread of its own, the runs of the trial and the warm-up told to end when they take too long,
//! and the whole given up where it does not end at all. So whoever loads always gets an answer.

use super::{
    Served,
    load::{self, Cause, Failure, Setup, Version},
};
use crate::{
    model::{engine::Interrupt, folder::ModelFolder},
    os::process,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a model may take to be loaded: many gigabytes from a slow disk.
const LOAD_MAX: Duration = Duration::from_secs(30 * 60);

/// How often the watch looks.
const LOOK: Duration = Duration::from_millis(50);

/// How long a run is waited for that was told to end with everything else.
const LAST: Duration = Duration::from_millis(500);

/// How a model is loaded.
pub(super) struct Attempt<'a> {
    /// By what.
    pub setup: &'a Setup,
    /// Whether workers are at work, who need the cores more.
    pub aside: bool,
    /// Whether nobody wants it any more.
    pub is_stopped: &'a dyn Fn() -> bool,
}

impl Attempt<'_> {
    /// Loads what is to be served of the model in `folder`, or takes it over from `before` where nothing has changed.
    pub(super) fn load(
        &self,
        folder: ModelFolder,
        before: Vec<Arc<Served>>,
    ) -> Result<Vec<Version>, Failure> {
        let runs = Arc::new(Runs::default());
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = {
            let (setup, runs, aside) = (self.setup.clone(), Arc::clone(&runs), self.aside);
            move || {
                // Where a run has threads of its own, they would inherit the priority.
                if aside && setup.threads == 1 {
                    let _ = process::yield_to_others();
                }
                // What a panic has touched is dropped with it.
                let loaded = catch_unwind(AssertUnwindSafe(|| load::load(&folder, &before, &setup, &runs)));
                let _ = sender.send(loaded.unwrap_or_else(|_| Err(Cause::Panicked.into())));
            }
        };
        let thread = thread::Builder::new().name("load".into()).spawn(work);
        let thread = thread.map_err(|error| Cause::Thread(error.to_string()))?;
        let begun = Instant::now();
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(loaded) => {
                    let _ = thread.join();
                    return loaded;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(Cause::Panicked.into()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let stopped = (self.is_stopped)();
            // At the end nobody waits for what may never come.
            let patience = if stopped { LAST } else { self.setup.config.workers.stuck_after };
            let endless = runs.look(Instant::now(), patience, stopped) || begun.elapsed() > LOAD_MAX;
            // Without a run, the library is at it, which cannot be told to end.
            if stopped && (endless || !runs.is_running()) {
                return Err(Cause::Stopped.into());
            }
            if endless {
                return Err(Cause::Endless(begun.elapsed().as_secs()).into());
            }
        }
    }
}

/// The run that is under way while a model is loaded.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<Option<Run>>);

#[derive(Debug)]
struct Run {
    until: Instant,
    interrupt: Arc<Interrupt>,
}

impl Runs {
    /// Calls `run`, whose interrupt is used when `limit` has passed.
    pub(super) fn within<T>(&self, limit: Duration, run: impl FnOnce(&Interrupt) -> T) -> T {
        let interrupt = Arc::new(Interrupt::default());
        *self.lock() = Some(Run { until: Instant::now() + limit, interrupt: Arc::clone(&interrupt) });
        let result = run(&interrupt);
        *self.lock() = None;
        result
    }

    fn is_running(&self) -> bool {
        self.lock().is_some()
    }

    /// Tells the run to end if its time is up, or `now` is the end of everything. True where it was told so `patience` ago
    /// and goes on.
    fn look(&self, now: Instant, patience: Duration, end: bool) -> bool {
        let mut run = self.lock();
        let Some(run) = &mut *run else { return false };
        if end {
            run.until = run.until.min(now);
        }
        if now < run.until {
            return false;
        }
        if !run.interrupt.is_terminated() {
            run.interrupt.terminate();
        }
        now >= run.until + patience
    }

    fn lock(&self) -> MutexGuard<'_, Option<Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_to_end_and_then_given_up() {
        let (runs, begun) = (Runs::default(), Instant::now());
        let ms = Duration::from_millis;
        assert!(!runs.look(begun, ms(0), true), "nothing runs");
        runs.within(ms(1000), |interrupt| {
            assert!(!runs.look(begun, ms(500), false) && !interrupt.is_terminated());
            assert!(!runs.look(begun + ms(1200), ms(500), false) && interrupt.is_terminated());
            assert!(runs.look(begun + ms(2000), ms(500), false));
        });
        runs.within(ms(1000), |interrupt| {
            assert!(!runs.look(begun, ms(500), true) && interrupt.is_terminated());
            assert!(runs.look(begun + ms(600), ms(500), false));
        });
        assert!(!runs.is_running());
    }
}
