//! Loading under watch: on a thread of its own, the runs of the trial and the warm-up told to end when they take too long,
//! and the whole given up where it does not end at all. So whoever loads always gets an answer.

use super::{
    Served,
    load::{self, Cause, Failure, Setup, Version},
};
use crate::model::{engine::Interrupt, folder::ModelFolder};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
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
    /// Those before it that did not end.
    pub abandoned: &'a mut Abandoned,
}

impl Attempt<'_> {
    /// Loads what is to be served of the model in `folder`, or takes it over from `before` where nothing has changed.
    pub(super) fn load(self, folder: ModelFolder, before: &[Arc<Served>]) -> Result<Vec<Version>, Failure> {
        if (self.is_stopped)() {
            return Err(Cause::Stopped.into());
        }
        if self.abandoned.has(folder.name.as_str()) {
            return Err(Cause::Abandoned.into());
        }
        let name = folder.name.to_string();
        let runs = Arc::new(Runs::default());
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = {
            let (setup, runs, aside) = (self.setup.clone(), Arc::clone(&runs), self.aside);
            // A load that does not end keeps nothing of what was before it.
            let before: Vec<Weak<Served>> = before.iter().map(Arc::downgrade).collect();
            move || {
                // What a panic has touched is dropped with it.
                let load = || load::load(&folder, &before, &setup, &runs, aside);
                let loaded = catch_unwind(AssertUnwindSafe(load));
                let _ = sender.send(loaded.unwrap_or_else(|_| Err(Cause::Panicked.into())));
            }
        };
        let thread = thread::Builder::new().name("load".into()).spawn(work);
        let thread = thread.map_err(|error| Cause::Thread(error.to_string()))?;
        let begun = Instant::now();
        let cause = loop {
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
                break Cause::Stopped;
            }
            if endless {
                break Cause::Endless(begun.elapsed().as_secs());
            }
        };
        runs.give_up();
        self.abandoned.0.push((name, thread));
        Err(cause.into())
    }
}

/// Threads of loads that were given up, by the names of their models: each may hold a session, and may end some day.
#[derive(Debug, Default)]
pub(super) struct Abandoned(Vec<(String, JoinHandle<()>)>);

impl Abandoned {
    /// Whether one of that name goes on.
    fn has(&mut self, name: &str) -> bool {
        !self.is_empty() && self.0.iter().any(|(other, _)| other == name)
    }

    /// Whether all have ended.
    pub(super) fn is_empty(&mut self) -> bool {
        self.0.retain(|(_, thread)| !thread.is_finished());
        self.0.is_empty()
    }
}

/// The run that is under way while a model is loaded, and whether there should be any.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    run: Option<Run>,
    given_up: bool,
}

#[derive(Debug)]
struct Run {
    until: Instant,
    interrupt: Arc<Interrupt>,
}

impl Runs {
    /// Calls `run`, whose interrupt is used when `limit` has passed, or at once where nobody waits for it any more.
    pub(super) fn within<T>(&self, limit: Duration, run: impl FnOnce(&Interrupt) -> T) -> T {
        let interrupt = Arc::new(Interrupt::default());
        {
            let mut state = self.lock();
            if state.given_up {
                interrupt.terminate();
            }
            state.run = Some(Run { until: Instant::now() + limit, interrupt: Arc::clone(&interrupt) });
        }
        let result = run(&interrupt);
        self.lock().run = None;
        result
    }

    /// Whether nobody waits for the model any more: what is left to be done for it need not be done.
    pub(super) fn is_given_up(&self) -> bool {
        self.lock().given_up
    }

    fn give_up(&self) {
        let mut state = self.lock();
        state.given_up = true;
        if let Some(run) = &state.run {
            run.interrupt.terminate();
        }
    }

    fn is_running(&self) -> bool {
        self.lock().run.is_some()
    }

    /// Tells the run to end if its time is up, or `now` is the end of everything. True where it was told so `patience` ago
    /// and goes on.
    fn look(&self, now: Instant, patience: Duration, end: bool) -> bool {
        let mut state = self.lock();
        state.given_up |= end;
        let Some(run) = &mut state.run else { return false };
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

    fn lock(&self) -> MutexGuard<'_, State> {
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
        assert!(!runs.look(begun, ms(0), false), "nothing runs");
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
        assert!(runs.is_given_up());
        runs.within(ms(1000), |interrupt| assert!(interrupt.is_terminated(), "nobody waits for it"));
    }
}
