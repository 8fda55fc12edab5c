//! What the loader is asked for, and what it answers: a bounded queue of operations, each with all who wait for it.

use predictd_protocol::excerpt::excerpt;
use std::{
    collections::VecDeque,
    fmt,
    pin::{Pin, pin},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Operations that may wait.
const WAITING_MAX: usize = 32;

/// Something to be done to the models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Make everything as the configuration file and the folder have it now.
    Reload,
    /// Load this model, or load it again if it has changed.
    Load(String),
    /// Take this model out of service until it is loaded by request.
    Unload(String),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reload => f.write_str("reload"),
            Self::Load(name) => write!(f, "load of '{}'", excerpt(name)),
            Self::Unload(name) => write!(f, "unload of '{}'", excerpt(name)),
        }
    }
}

/// How an operation went that could be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// For each model, by name.
    pub outcomes: Vec<Outcome>,
    /// What else its owner should know.
    pub notes: Vec<String>,
}

/// What became of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// What.
    pub what: What,
    /// How long that took.
    pub took: Duration,
}

/// What became of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// These versions answer now, some of them anew.
    Loaded(Vec<u64>),
    /// These versions answer as before: nothing of them has changed.
    Unchanged(Vec<u64>),
    /// Nothing has changed, since it could not be loaded.
    Failed {
        /// The version that could not, if it is one's fault.
        version: Option<u64>,
        /// Why.
        reason: String,
        /// What goes on answering.
        serving: Vec<u64>,
    },
    /// Its files are gone, and so is it.
    Removed,
    /// It is unloaded by request, now or before.
    Unloaded,
}

impl Outcome {
    pub(super) fn new(name: String, what: What) -> Self {
        Self { name, what, took: Duration::ZERO }
    }

    /// Whether it is not as it was asked for.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self.what, What::Failed { .. })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model '{}'", self.name)?;
        match &self.what {
            What::Loaded(versions) => write!(f, ": loaded, {}", numbers(versions)),
            What::Unchanged(versions) => write!(f, ": unchanged, {}", numbers(versions)),
            What::Removed => f.write_str(": removed"),
            What::Unloaded => f.write_str(": unloaded"),
            What::Failed { version, reason, serving } => {
                if let Some(version) = version {
                    write!(f, " version {version}")?;
                }
                write!(f, ": {reason}")?;
                if serving.is_empty() { Ok(()) } else { write!(f, "; {} goes on", numbers(serving)) }
            }
        }
    }
}

/// `version 3`, `versions 1, 2`
fn numbers(versions: &[u64]) -> String {
    let list = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("version{} {list}", if versions.len() == 1 { "" } else { "s" })
}

/// Why the models are not served that should be, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// None were even tried.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// One cannot be loaded.
    #[error("{0}")]
    One(String),
    /// Several cannot, each said before.
    #[error(
        "{failed} of {all} models cannot be loaded (strict_models = false would serve the others); the first: {first}"
    )]
    Several {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
        /// The first of them.
        first: String,
    },
}

impl Report {
    /// Whether all is as it should be.
    ///
    /// # Errors
    /// Where a model could not be loaded.
    pub fn strictly(&self) -> Result<(), LoadError> {
        let mut failures = self.failures().map(ToString::to_string);
        let Some(first) = failures.next() else { return Ok(()) };
        match failures.count() + 1 {
            1 => Err(LoadError::One(first)),
            failed => Err(LoadError::Several { failed, all: self.outcomes.len(), first }),
        }
    }

    /// Those that could not be loaded.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.is_failure())
    }
}

impl fmt::Display for Report {
    /// `2 loaded, 1 unchanged, 1 failed`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |of: fn(&What) -> bool| self.outcomes.iter().filter(|outcome| of(&outcome.what)).count();
        let counts = [
            (count(|what| matches!(what, What::Loaded(_))), "loaded"),
            (count(|what| matches!(what, What::Unchanged(_))), "unchanged"),
            (count(|what| matches!(what, What::Removed)), "removed"),
            (count(|what| matches!(what, What::Unloaded)), "unloaded"),
            (count(|what| matches!(what, What::Failed { .. })), "failed"),
        ];
        let words: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        f.write_str(&if words.is_empty() { "no models".to_owned() } else { words.join(", ") })
    }
}

/// Why an operation was not even tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was changed.
    #[error("the configuration cannot be used, and nothing was changed: {0}")]
    Config(String),
    /// Nothing was changed.
    #[error("the folder of models cannot be read, and none was changed: {0}")]
    Repository(String),
    /// There is no such model, neither served nor on disk.
    #[error("there is no model '{}'", excerpt(.0))]
    Unknown(String),
    /// Somebody asks faster than models load.
    #[error("{WAITING_MAX} operations are waiting already; try again in a moment")]
    Full,
    /// It is too late.
    #[error("the server is stopping")]
    Stopped,
}

/// What comes of an operation, for all who have asked for it.
pub type Answer = Arc<Result<Report, Refusal>>;

/// An answer to come.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    /// Blocks until it is there, be it within a runtime: a server that starts has nothing else to do.
    #[must_use]
    pub fn wait(self) -> Answer {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Unpark(thread::current())).into();
        let mut answer = pin!(self);
        loop {
            match answer.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let answer = Pin::new(&mut self.0).poll(cx);
        answer.map(|answer| answer.unwrap_or_else(|_| Arc::new(Err(Refusal::Stopped))))
    }
}

/// What waits for the loader, and what it is at.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Asked>,
    current: Option<Current>,
    stopped: bool,
}

#[derive(Debug)]
struct Asked {
    operation: Operation,
    by: Vec<oneshot::Sender<Answer>>,
}

#[derive(Debug)]
struct Current {
    asked: Asked,
    model: Option<String>,
    since: Instant,
}

impl Queue {
    /// Queues an operation. It is one with the last that waits if that is the same: what is done then is done for both.
    pub(super) fn ask(&self, operation: Operation) -> Result<Pending, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.stopped {
            return Err(Refusal::Stopped);
        }
        let full = state.waiting.len() >= WAITING_MAX;
        match state.waiting.back_mut() {
            Some(last) if last.operation == operation => {
                // Those who have left need no answer.
                last.by.retain(|sender| !sender.is_closed());
                last.by.push(sender);
            }
            _ if full => return Err(Refusal::Full),
            _ => state.waiting.push_back(Asked { operation, by: vec![sender] }),
        }
        drop(state);
        self.bell.notify_one();
        Ok(Pending(receiver))
    }

    /// Waits for the next operation, which is then the current one, but no longer than `pause` if there is one: then there is
    /// nothing in it. `None` is the end.
    pub(super) fn next(&self, pause: Option<Duration>) -> Option<Option<Operation>> {
        let idle = |state: &mut State| !state.stopped && state.waiting.is_empty();
        let state = self.lock();
        let mut state = match pause {
            None => self.bell.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            Some(pause) => {
                let woken = self.bell.wait_timeout_while(state, pause, idle);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if state.stopped {
            return None;
        }
        let asked = state.waiting.pop_front();
        let operation = asked.as_ref().map(|asked| asked.operation.clone());
        state.current = asked.map(|asked| Current { asked, model: None, since: Instant::now() });
        Some(operation)
    }

    /// The current operation has come to this model.
    pub(super) fn at(&self, model: &str) {
        if let Some(current) = &mut self.lock().current {
            current.model = Some(model.to_owned());
        }
    }

    /// The current operation is over.
    pub(super) fn done(&self, answer: Answer) {
        let current = self.lock().current.take();
        for sender in current.into_iter().flat_map(|current| current.asked.by) {
            let _ = sender.send(Arc::clone(&answer));
        }
    }

    pub(super) fn current(&self) -> Option<(Operation, Option<String>, Instant)> {
        let state = self.lock();
        let current = state.current.as_ref()?;
        Some((current.asked.operation.clone(), current.model.clone(), current.since))
    }

    /// Nothing is done any more, and who waits is told so.
    pub(super) fn stop(&self) {
        let waiting = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.waiting)
        };
        // Their senders are dropped, which says it.
        drop(waiting);
        self.bell.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(queue: &Queue) -> Option<Operation> {
        let next = queue.next(Some(Duration::ZERO)).flatten();
        if next.is_some() {
            queue.done(Arc::new(Err(Refusal::Unknown("x".into()))));
        }
        next
    }

    #[test]
    fn the_same_asked_twice_in_a_row_is_done_once_for_both() {
        let queue = Queue::default();
        let (load, unload) = (Operation::Load("m".into()), Operation::Unload("m".into()));
        let pending: Vec<Pending> = [&load, &load, &unload, &load, &Operation::Reload, &Operation::Reload]
            .map(|operation| queue.ask(operation.clone()).unwrap())
            .into();
        let done: Vec<Operation> = std::iter::from_fn(|| name(&queue)).collect();
        assert_eq!(done, [load.clone(), unload, load, Operation::Reload]);
        for pending in pending {
            assert_eq!(*pending.wait(), Err(Refusal::Unknown("x".into())));
        }
    }

    #[test]
    fn what_is_asked_while_the_same_is_under_way_is_done_after_it() {
        let queue = Queue::default();
        let _first = queue.ask(Operation::Reload).unwrap();
        assert_eq!(queue.next(None), Some(Some(Operation::Reload)));
        let _second = queue.ask(Operation::Reload).unwrap();
        queue.at("m");
        assert_eq!(queue.current().unwrap().1, Some("m".into()));
        queue.done(Arc::new(Err(Refusal::Full)));
        assert_eq!(name(&queue), Some(Operation::Reload));
        assert_eq!(name(&queue), None);
    }

    #[test]
    fn the_queue_is_bounded_and_its_end_is_told_to_all() {
        let queue = Queue::default();
        let ask = |at: usize| queue.ask(Operation::Load(at.to_string()));
        let pending: Vec<Pending> = (0..WAITING_MAX).map(|at| ask(at).unwrap()).collect();
        assert_eq!(ask(WAITING_MAX).unwrap_err(), Refusal::Full);
        assert!(ask(WAITING_MAX - 1).is_ok(), "the same as the last");
        queue.stop();
        assert_eq!(queue.next(None), None);
        assert_eq!(ask(0).unwrap_err(), Refusal::Stopped);
        for pending in pending {
            assert_eq!(*pending.wait(), Err(Refusal::Stopped));
        }
    }
}
