//! One request as the pool sees it: what is to be done for it, who waits for that, and until when.

use super::{Failure, Timing, ticket::Cell};
use crate::telemetry::RequestId;
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
    fn prepare(&mut self) -> Option<Vec<Tensor>>;

    /// Makes the answer and gives it to the caller.
    fn finish(&mut self, outputs: Vec<Tensor>, timing: Timing);
}

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
    Deadline,
    Closed(String),
    Stopped,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Makes the tensors of a request.
pub(super) type Prepare<E> = Box<dyn FnOnce() -> Result<Vec<Tensor>, E> + Send>;

/// What there is between a request's tensors and its caller, with the types that the caller chose.
pub(super) struct Request<T, E, F> {
    pub prepare: Option<Prepare<E>>,
    pub finish: Option<F>,
    pub cell: Arc<Cell<Outcome<T, E>>>,
}

/// What a caller gets.
pub(super) type Outcome<T, E> = Result<(T, Timing), Failure<E>>;

impl<T, E, F> Work for Request<T, E, F>
where
    T: Send,
    E: Send,
    F: FnOnce(Vec<Tensor>) -> Result<T, E> + Send,
{
    fn prepare(&mut self) -> Option<Vec<Tensor>> {
        match self.prepare.take()?() {
            Ok(tensors) => Some(tensors),
            Err(error) => {
                self.cell.set(Err(Failure::Work(error)));
                None
            }
        }
    }

    fn finish(&mut self, outputs: Vec<Tensor>, mut timing: Timing) {
        let Some(finish) = self.finish.take() else { return };
        let begun = Instant::now();
        let result = finish(outputs);
        timing.finish = begun.elapsed();
        self.cell.set(result.map(|answer| (answer, timing)).map_err(Failure::Work));
    }
}

impl<T: Send, E: Send> Caller for Cell<Outcome<T, E>> {
    fn fail(&self, why: Failed) -> bool {
        self.set(Err(match why {
            Failed::Run(reason) => Failure::Run(reason),
            Failed::Panicked => Failure::Panicked,
            Failed::Deadline => Failure::Deadline,
            Failed::Closed(reason) => Failure::Closed(reason),
            Failed::Stopped => Failure::Stopped,
        }))
    }

    fn is_open(&self) -> bool {
        Self::is_open(self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Work of nothing, for nobody.
    struct Nothing;

    impl Work for Nothing {
        fn prepare(&mut self) -> Option<Vec<Tensor>> {
            None
        }

        fn finish(&mut self, _: Vec<Tensor>, _: Timing) {}
    }

    /// A job of one row whose caller waits until `deadline`.
    pub(in super::super) fn job(id: u64, deadline: Instant) -> Job {
        job_for(id, deadline, &Arc::new(Cell::new()))
    }

    /// The same for a caller that can be asked afterwards.
    pub(in super::super) fn job_for(id: u64, deadline: Instant, cell: &Arc<Cell<Outcome<(), ()>>>) -> Job {
        Job {
            id: JobId(id),
            request: RequestId::random(),
            submitted: deadline,
            deadline,
            rows: 1,
            prepared: Duration::ZERO,
            work: Box::new(Nothing),
            caller: Arc::clone(cell) as _,
        }
    }
}
