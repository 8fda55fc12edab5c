//! What becomes of a request: its answer, or why there is none. It is left for whoever waits, and counted, once.

use super::{Failure, Timing, ticket::Cell};
use crate::telemetry::statistics::{Execution, Reason, Statistics};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// What a caller gets.
pub(super) type Outcome<T, E> = Result<(T, Timing), Failure<E>>;

/// Who waits for a request.
pub(super) trait Caller: Send + Sync {
    /// Tells that there will be no answer; false where the caller has one, or is gone.
    fn fail(&self, why: Failed) -> bool;

    /// Whether it still waits.
    fn is_open(&self) -> bool;
}

/// Why there will be no answer, whatever the request's own errors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Run(String),
    Panicked,
    /// That was then.
    Deadline(Instant),
    Closed(String),
    Stopped,
}

/// Room for one outcome. Whichever comes first is counted before the caller can see it; others are not.
#[derive(Debug)]
pub(super) struct Slot<T, E> {
    cell: Cell<Outcome<T, E>>,
    statistics: Arc<Statistics>,
    submitted: Instant,
}

impl<T, E> Slot<T, E> {
    pub(super) fn new(statistics: Arc<Statistics>, submitted: Instant) -> Self {
        Self { cell: Cell::new(), statistics, submitted }
    }

    /// Takes the outcome, or has `cx` woken when it is there.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Outcome<T, E>> {
        self.cell.poll(cx)
    }

    /// Nobody waits any more. True where there was no outcome yet.
    pub(super) fn give_up(&self) -> bool {
        let given_up = self.cell.give_up();
        if given_up {
            self.statistics.failed(Reason::Cancelled, self.submitted.elapsed());
        }
        given_up
    }

    /// Leaves the answer of a request of `rows` rows, which is one of `execution`'s.
    pub(super) fn answer(
        &self,
        answer: T,
        timing: Timing,
        rows: usize,
        execution: &mut Execution,
        now: Instant,
    ) {
        self.cell.set(Ok((answer, timing)), || self.statistics.answered(rows, &timing, execution, now));
    }

    /// Leaves what is not an answer yet: that will be counted, and not this.
    pub(super) fn hand_over(&self, made: T, timing: Timing) {
        self.cell.set(Ok((made, timing)), || {});
    }

    /// Leaves word that there is no answer; false where there is an outcome already.
    pub(super) fn fail_with(&self, reason: Reason, failure: Failure<E>) -> bool {
        self.cell.set(Err(failure), || self.statistics.failed(reason, self.submitted.elapsed()))
    }
}

impl<T: Send, E: Send> Caller for Slot<T, E> {
    fn fail(&self, why: Failed) -> bool {
        let (reason, failure) = match why {
            Failed::Run(reason) => (Reason::Model, Failure::Run(reason)),
            Failed::Panicked => (Reason::Panicked, Failure::Panicked),
            Failed::Deadline(at) => (Reason::Deadline, Failure::Deadline(at - self.submitted)),
            Failed::Closed(reason) => (Reason::Closed, Failure::Closed(reason)),
            Failed::Stopped => (Reason::Stopped, Failure::Stopped),
        };
        self.fail_with(reason, failure)
    }

    fn is_open(&self) -> bool {
        self.cell.is_open()
    }
}
