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
    /// How many have not.
    pub(super) left_behind: usize,
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
    let (mut results, mut given_up) = (Vec::with_capacity(wanted), None);
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
            }
            None => watch(now - begun),
        }
    }
    let left_behind = wanted - results.len();
    Ok(Gathered { results, left_behind })
}
