//! Work on many threads that can be ended at any time, and is left behind where it does not end.

use crate::os::signals::Signal;
use std::{
    io,
    sync::{
        Arc, OnceLock,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// The word to stop, and who said it; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<OnceLock<Signal>>);

impl Stop {
    /// Says it; false where it has been said.
    pub(super) fn say(&self, signal: Signal) -> bool {
        self.0.set(signal).is_ok()
    }

    /// Who has said it, if anybody.
    pub(super) fn said(&self) -> Option<Signal> {
        self.0.get().copied()
    }
}

/// What came of work.
#[derive(Debug)]
pub(super) struct Gathered<T> {
    /// Of each thread that has ended.
    pub(super) results: Vec<T>,
    /// How many have not, or have panicked.
    pub(super) left_behind: usize,
    /// Whether they were told to end because the limit was over.
    pub(super) overdue: bool,
}

/// One thread's work.
pub(super) type Work<T> = Box<dyn FnOnce() -> T + Send>;

/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(50);
/// How long work may take that was told to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does all `work`, each on a thread of its own, called `name`. After `limit`, or at the word to stop, `end` is called, which is to make it
/// end. `watch` is told now and then how long it has been.
pub(super) fn run<T: Send + 'static>(
    name: &str,
    work: Vec<Work<T>>,
    limit: Duration,
    stop: &Stop,
    end: impl Fn(),
    watch: impl Fn(Duration),
) -> io::Result<Gathered<T>> {
    let (begun, wanted) = (Instant::now(), work.len());
    let (sender, receiver) = mpsc::sync_channel(wanted);
    for work in work {
        let sender = sender.clone();
        let spawned = thread::Builder::new().name(name.into()).spawn(move || _ = sender.send(work()));
        if let Err(error) = spawned {
            end();
            return Err(error);
        }
    }
    drop(sender);
    let (mut results, mut given_up, mut overdue) = (Vec::with_capacity(wanted), None, false);
    while results.len() < wanted {
        match receiver.recv_timeout(LOOK) {
            Ok(result) => results.push(result),
            Err(RecvTimeoutError::Timeout) => {}
            // One has panicked.
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        match given_up {
            Some(given_up) if now >= given_up + PATIENCE => break,
            Some(_) => {}
            None if stop.said().is_some() || now >= begun + limit => {
                end();
                given_up = Some(now);
                overdue = stop.said().is_none();
            }
            None => watch(now - begun),
        }
    }
    let left_behind = wanted - results.len();
    Ok(Gathered { results, left_behind, overdue })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const LONG: Duration = Duration::from_secs(60);

    /// Work that ends when it is told to.
    fn patient(told: &Arc<AtomicBool>) -> Work<u32> {
        let told = Arc::clone(told);
        Box::new(move || {
            while !told.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(1));
            }
            7
        })
    }

    fn check(
        work: Vec<Work<u32>>,
        limit: Duration,
        stop: &Stop,
        told: &AtomicBool,
    ) -> (Vec<u32>, usize, bool) {
        let end = || told.store(true, Ordering::Relaxed);
        let Gathered { mut results, left_behind, overdue } =
            run("test", work, limit, stop, end, |_| {}).unwrap();
        results.sort_unstable();
        (results, left_behind, overdue)
    }

    #[test]
    fn work_ends_by_itself_by_the_limit_or_by_the_word() {
        let (stop, told) = (Stop::default(), Arc::new(AtomicBool::new(false)));
        assert_eq!(check(vec![Box::new(|| 1), Box::new(|| 2)], LONG, &stop, &told), (vec![1, 2], 0, false));
        assert!(!told.load(Ordering::Relaxed), "nobody had to be told");
        let brief = Duration::from_millis(1);
        assert_eq!(check(vec![patient(&told)], brief, &stop, &told), (vec![7], 0, true));
        told.store(false, Ordering::Relaxed);
        assert!(stop.say(Signal::Interrupt) && !stop.say(Signal::Terminate));
        assert_eq!(check(vec![patient(&told)], LONG, &stop, &told), (vec![7], 0, false));
        assert_eq!(stop.said(), Some(Signal::Interrupt));
    }

    #[test]
    fn who_panics_or_does_not_end_is_left_behind() {
        let (stop, told) = (Stop::default(), AtomicBool::new(false));
        let panicking: Work<u32> = Box::new(|| panic!("told to"));
        assert_eq!(check(vec![panicking, Box::new(|| 1)], LONG, &stop, &told), (vec![1], 1, false));
        let deaf: Work<u32> = patient(&Arc::default());
        assert_eq!(check(vec![deaf], Duration::ZERO, &stop, &told), (vec![], 1, true));
    }
}
