//! One request as the pool sees it: what is to be done for it, who waits for that, and until when.

use super::{
    Failure, Prepared, Timing,
    outcome::{Caller, Slot},
};
use crate::telemetry::{
    RequestId,
    statistics::{Execution, Reason},
};
use predictd_protocol::inference::tensor::Tensor;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Tells jobs apart, and which came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobId(pub u64);

/// A request on its way through the pool.
pub(super) struct Job {
    pub id: JobId,
    pub request: RequestId,
    pub submitted: Instant,
    pub deadline: Instant,
    /// How many rows it counts for.
    pub rows: usize,
    /// What has been spent on making its tensors.
    pub prepared: Duration,
    pub work: Box<dyn Work>,
    pub caller: Arc<dyn Caller>,
}

/// What a worker does for a request, before the run and after it.
pub(super) trait Work: Send {
    /// Makes the tensors; `None` where that failed and the caller was told.
    fn prepare(&mut self) -> Option<Prepared>;

    /// Makes the answer and gives it to the caller.
    fn finish(&mut self, ran: Ran<'_>);
}

/// A request's part in a run that has ended.
pub(super) struct Ran<'a> {
    pub outputs: Vec<Tensor>,
    /// The request's own.
    pub rows: usize,
    pub timing: Timing,
    pub ended: Instant,
    pub execution: &'a mut Execution,
}

impl Job {
    /// Gives it no longer than `time`, from when it came.
    pub(super) fn shorten(&mut self, time: Duration) {
        if let Some(deadline) = self.submitted.checked_add(time) {
            self.deadline = self.deadline.min(deadline);
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Makes the tensors of a request.
pub(super) type Prepare<E> = Box<dyn FnOnce() -> Result<Prepared, E> + Send>;

/// What there is between a request's tensors and its caller, with the types that the caller chose.
pub(super) struct Request<T, E, F> {
    pub prepare: Option<Prepare<E>>,
    pub finish: Option<F>,
    pub slot: Arc<Slot<T, E>>,
}

impl<T, E, F> Work for Request<T, E, F>
where
    T: Send,
    E: Send,
    F: FnOnce(Vec<Tensor>) -> Result<T, E> + Send,
{
    fn prepare(&mut self) -> Option<Prepared> {
        match self.prepare.take()?() {
            Ok(prepared) => Some(prepared),
            Err(error) => {
                self.slot.fail_with(Reason::Input, Failure::Work(error));
                None
            }
        }
    }

    fn finish(&mut self, ran: Ran<'_>) {
        let Some(finish) = self.finish.take() else { return };
        let Ran { outputs, rows, mut timing, ended, execution } = ran;
        match finish(outputs) {
            Ok(answer) => {
                let now = Instant::now();
                timing.finish = now - ended;
                self.slot.answer(answer, timing, rows, execution, now);
            }
            Err(error) => _ = self.slot.fail_with(Reason::Answer, Failure::Work(error)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::telemetry::statistics::Statistics;

    /// Work of nothing, for nobody.
    struct Nothing;

    impl Work for Nothing {
        fn prepare(&mut self) -> Option<Prepared> {
            None
        }

        fn finish(&mut self, _: Ran<'_>) {}
    }

    /// A job of one row whose caller waits until `deadline`.
    pub(in super::super) fn job(id: u64, deadline: Instant) -> Job {
        job_for(id, deadline, deadline, &slot(deadline))
    }

    /// Somebody who waits, from `now` on.
    pub(in super::super) fn slot(now: Instant) -> Arc<Slot<(), ()>> {
        Arc::new(Slot::new(Arc::new(Statistics::new(8)), now))
    }

    /// The same for a caller that can be asked afterwards.
    pub(in super::super) fn job_for(
        id: u64,
        submitted: Instant,
        deadline: Instant,
        slot: &Arc<Slot<(), ()>>,
    ) -> Job {
        Job {
            id: JobId(id),
            request: RequestId::random(),
            submitted,
            deadline,
            rows: 1,
            prepared: Duration::ZERO,
            work: Box::new(Nothing),
            caller: Arc::clone(slot) as _,
        }
    }
}
