//! Where requests for one model come in, and the claims to their answers that go out.

use super::{
    Batching, Closed, Rejected, Shared, Standing, Waiting,
    chore::Chore,
    crew::LaneId,
    job::{Job, JobId, Request, Work},
    outcome::{Outcome, Slot},
    watchdog,
};
use crate::{
    model::engine::Engine,
    telemetry::{RequestId, statistics::Statistics},
};
use predictd_protocol::inference::tensor::Tensor;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// What a request brings.
pub struct Order<E> {
    /// What it is called in log lines.
    pub request: RequestId,
    /// How long it may take, from now.
    pub deadline: Duration,
    /// Its tensors.
    pub inputs: Inputs<E>,
}

/// The tensors of a request, in the order of the model's signature and fitting it.
pub enum Inputs<E> {
    /// Here they are.
    Ready(Vec<Tensor>),
    /// A worker has to make them. Until they are there, they count as one row.
    Later(Box<dyn FnOnce() -> Result<Prepared, E> + Send>),
}

/// What a worker has made of a request's body.
#[derive(Debug, Default)]
pub struct Prepared {
    /// The tensors.
    pub tensors: Vec<Tensor>,
    /// How long the request may take at most, from when it was submitted, if its body says so.
    pub timeout: Option<Duration>,
}

impl From<Vec<Tensor>> for Prepared {
    fn from(tensors: Vec<Tensor>) -> Self {
        Self { tensors, timeout: None }
    }
}

/// Where the requests for one model go. Dropped, it closes: what waits is given up.
pub struct Lane {
    id: LaneId,
    shared: Arc<Shared>,
    statistics: Arc<Statistics>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lane").field(&self.id).finish()
    }
}

impl Lane {
    pub(super) fn open(
        shared: &Arc<Shared>,
        name: &str,
        engine: Arc<dyn Engine>,
        batching: Batching,
    ) -> Self {
        let statistics = Arc::new(Statistics::new(batching.max_rows));
        let id = shared.monitor.lock().open_lane(name.into(), engine, batching);
        Self { id, shared: Arc::clone(shared), statistics }
    }

    /// Queues a request; the ticket gives what `finish` makes of its outputs, which are in the order of the signature.
    ///
    /// # Errors
    /// Where there is no room, or the model is closed.
    pub fn submit<T, E, F>(&self, order: Order<E>, finish: F) -> Result<Ticket<T, E>, Rejected>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(Vec<Tensor>) -> Result<T, E> + Send + 'static,
    {
        let Order { request, deadline, inputs } = order;
        let (prepare, tensors) = match inputs {
            Inputs::Ready(tensors) => (None, Some(tensors)),
            Inputs::Later(prepare) => (Some(prepare), None),
        };
        let now = Instant::now();
        let slot = Arc::new(Slot::new(Arc::clone(&self.statistics), now));
        let work = Request { prepare, finish: Some(finish), slot: Arc::clone(&slot) };
        self.queue(request, now, deadline, tensors, work, slot)
    }

    /// Has a worker do `work` for a request, which is no run of the model. It is counted with the model's requests only where it
    /// comes to nothing: else what is done with it will be.
    ///
    /// # Errors
    /// Where there is no room, or the model is closed.
    pub fn chore<T, E, F>(
        &self,
        request: RequestId,
        deadline: Duration,
        work: F,
    ) -> Result<Ticket<T, E>, Rejected>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        let now = Instant::now();
        let slot = Arc::new(Slot::new(Arc::clone(&self.statistics), now));
        let work = Chore { work: Some(work), submitted: now, slot: Arc::clone(&slot) };
        self.queue(request, now, deadline, None, work, slot)
    }

    fn queue<T: Send + 'static, E: Send + 'static>(
        &self,
        request: RequestId,
        now: Instant,
        deadline: Duration,
        tensors: Option<Vec<Tensor>>,
        work: impl Work + 'static,
        slot: Arc<Slot<T, E>>,
    ) -> Result<Ticket<T, E>, Rejected> {
        let work = Box::new(work);
        let mut schedule = self.shared.monitor.lock();
        let id = schedule.next_job();
        let job = Job {
            id,
            request,
            submitted: now,
            deadline: now + deadline,
            rows: 1,
            prepared: Duration::ZERO,
            work,
            caller: Arc::clone(&slot) as _,
        };
        let submitted = schedule.submit(self.id, job, tensors, now);
        if submitted.as_ref().is_ok_and(|wanted| wanted.worker) {
            schedule.wake();
        }
        let news = schedule.has_news();
        drop(schedule);
        if news {
            self.shared.watchdog.ring();
        }
        match submitted {
            Ok(wanted) => {
                if wanted.watchdog {
                    self.shared.watchdog.ring();
                }
                Ok(Ticket { slot, id, lane: self.id, shared: Arc::clone(&self.shared), over: false })
            }
            Err(why) => {
                self.statistics.failed(why.reason(), Duration::ZERO);
                Err(why)
            }
        }
    }

    /// What became of its requests.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// What there was of its requests when `standing` was taken.
    #[must_use]
    pub fn in_standing(&self, standing: &Standing) -> Waiting {
        standing.queues.get(&self.id).copied().unwrap_or_default()
    }

    /// Requests that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.shared.monitor.lock().pending(self.id)
    }

    /// Rows that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.monitor.lock().waiting(self.id)
    }

    /// Why the model is closed, if it is, and since when.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.shared.monitor.lock().closed(self.id)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let events = self.shared.monitor.lock().close_lane(self.id);
        events.into_iter().for_each(|event| watchdog::handle(&self.shared, event));
    }
}

/// The claim to an answer. Dropped before there is one, it takes the work out of the queue, or ends its run if that is
/// for nobody else.
pub struct Ticket<T, E> {
    slot: Arc<Slot<T, E>>,
    id: JobId,
    lane: LaneId,
    shared: Arc<Shared>,
    over: bool,
}

impl<T, E> fmt::Debug for Ticket<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.id).finish()
    }
}

impl<T, E> Future for Ticket<T, E> {
    type Output = Outcome<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.slot.poll(cx);
        self.over |= polled.is_ready();
        polled
    }
}

impl<T, E> Drop for Ticket<T, E> {
    fn drop(&mut self) {
        if self.over || !self.slot.give_up() {
            return;
        }
        let cancelled = self.shared.monitor.lock().cancel(self.lane, self.id, Instant::now());
        if let Some(interrupt) = cancelled.interrupt {
            interrupt.terminate();
        }
        if cancelled.watchdog {
            self.shared.watchdog.ring();
        }
    }
}
