//! Work to results, on pinned threads, in bounded time.
//!
//! Each model has a lane: a bounded queue whose requests may share runs. Whoever submits one gets a [`Ticket`], and with
//! it an answer by the deadline whatever the model does: a watchdog answers for runs that are late, has other threads
//! stand in for slow ones, and closes the lane of a model that does not even end when told to.
//!
//! | file | knows |
//! |---|---|
//! | `queue` | what waits for one model, and what of it runs together |
//! | `batch` | how tensors are joined and split |
//! | `schedule` | all models: whose turn it is, and whose time is up |
//! | `crew` | the threads: their places, and the runs that they are at |
//! | `monitor` | who sleeps, and who is woken |
//! | `job` | a request, and what is to be done for it |
//! | `outcome`, `ticket` | what becomes of it, how that is counted, and its way to who waits |
//! | `worker`, `watchdog` | the threads |

mod batch;
mod crew;
mod job;
mod monitor;
mod outcome;
mod queue;
mod schedule;
mod sync;
mod ticket;
mod watchdog;
mod worker;

pub use queue::Batching;

use crate::{
    model::engine::Engine,
    os::cpus::CpuId,
    telemetry::{
        RequestId,
        access::Work as Timing,
        statistics::{Reason, Statistics},
    },
};
use crew::LaneId;
use job::{Job, JobId, Request};
use monitor::Monitor;
use outcome::{Failed, Outcome, Slot};
use predictd_protocol::inference::tensor::Tensor;
use schedule::{Rules, Schedule};
use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How many workers there are, where, and how long they may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// For each worker the cores that it is pinned to; none leaves it to the kernel.
    pub workers: Vec<Vec<CpuId>>,
    /// A run that takes longer gives its place to a spare thread meanwhile.
    pub slow_after: Duration,
    /// A run that goes on for so long after it was told to end is stuck.
    pub stuck_after: Duration,
    /// So many stuck runs are the end of the pool.
    pub max_stuck: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: vec![Vec::new()],
            slow_after: Duration::from_millis(250),
            stuck_after: Duration::from_secs(5),
            max_stuck: 2,
        }
    }
}

/// Threads that run models. Dropped, it does what is queued and ends them, but for those whose run does not end.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// What threads, lanes and tickets share.
#[derive(Debug)]
struct Shared {
    monitor: Monitor<Schedule>,
    watchdog: Watchdog,
    options: Options,
    /// The last word, once there is one.
    fatal: watch::Sender<Option<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Where the watchdog sleeps. It looks at the schedule by itself when its alarm is due; this is for earlier ones.
#[derive(Debug, Default)]
struct Watchdog {
    rung: Mutex<bool>,
    bell: Condvar,
}

/// Why work is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// As much as may wait is waiting.
    #[error("its queue is full, {0} rows are waiting")]
    Full(usize),
    /// A run of this model is stuck.
    #[error("{0}")]
    Closed(String),
    /// The pool is ending, or the model is gone.
    #[error("the server is shutting down")]
    Stopped,
}

impl Rejected {
    fn reason(&self) -> Reason {
        match self {
            Self::Full(_) => Reason::Full,
            Self::Closed(_) => Reason::Closed,
            Self::Stopped => Reason::Stopped,
        }
    }
}

/// Why work that was taken has no answer. `E` is what its own closures fail with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// Its tensors or its answer could not be made.
    Work(E),
    /// The model itself failed, and why.
    Run(String),
    /// Something panicked.
    Panicked,
    /// It took longer than it had, which was this.
    Deadline(Duration),
    /// The model was closed while this waited, and why.
    Closed(String),
    /// The pool ended.
    Stopped,
}

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
    /// A worker has to make them.
    Later {
        /// How.
        prepare: Box<dyn FnOnce() -> Result<Prepared, E> + Send>,
        /// What they are guessed to have, until they are there.
        rows: usize,
    },
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

impl Pool {
    /// Starts the workers.
    ///
    /// # Errors
    /// Where a thread cannot be made.
    pub fn start(options: Options) -> io::Result<Self> {
        let rules = Rules {
            places: options.workers.len(),
            slow_after: options.slow_after,
            stuck_after: options.stuck_after,
            max_stuck: options.max_stuck,
        };
        let shared = Arc::new(Shared {
            monitor: Monitor::new(Schedule::new(rules)),
            watchdog: Watchdog::default(),
            options,
            fatal: watch::Sender::new(None),
            threads: Mutex::default(),
        });
        let pool = Self { shared: Arc::clone(&shared) };
        for number in 1..=rules.places {
            worker::start(&shared, number)?;
        }
        watchdog::start(&shared)?;
        Ok(pool)
    }

    /// A lane for a model called `name` in log lines. It is closed when it is dropped.
    pub fn open(&self, name: &str, engine: Arc<dyn Engine>, batching: Batching) -> Lane {
        let statistics = Arc::new(Statistics::new(batching.max_rows));
        let id = self.shared.monitor.lock().open_lane(name.into(), engine, batching);
        Lane { id, shared: Arc::clone(&self.shared), statistics }
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.options.workers.len()
    }

    /// Waits until so many runs are stuck that the process should end; gives the reason.
    pub async fn broken(&self) -> String {
        let mut fatal = self.shared.fatal.subscribe();
        loop {
            if let Some(reason) = fatal.borrow_and_update().clone() {
                return reason;
            }
            if fatal.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends everything that waits or runs, and the threads: false where some did not end within `patience`.
    pub fn stop(&self, patience: Duration) -> bool {
        let (jobs, runs) = {
            let mut schedule = self.shared.monitor.lock();
            schedule.stop();
            let left = schedule.abandon();
            schedule.wake_all();
            left
        };
        jobs.iter().for_each(|job| _ = job.caller.fail(Failed::Stopped));
        runs.iter().for_each(|run| run.terminate());
        self.join(Instant::now() + patience)
    }

    fn join(&self, until: Instant) -> bool {
        self.shared.watchdog.ring();
        while self.shared.monitor.lock().threads() > 0 {
            if Instant::now() >= until {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let threads = std::mem::take(&mut *self.shared.threads());
        // A thread that panicked has said so already.
        threads.into_iter().for_each(|thread| _ = thread.join());
        true
    }
}

/// How long a dropped pool waits for what is queued.
const PATIENCE: Duration = Duration::from_secs(60);

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let mut schedule = self.shared.monitor.lock();
            if schedule.stop() {
                // All that could be done about threads that do not end has been.
                return;
            }
            schedule.wake_all();
        }
        if !self.join(Instant::now() + PATIENCE) {
            self.stop(Duration::from_secs(1));
        }
    }
}

impl Shared {
    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchdog {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }

    /// Sleeps until `alarm`, or until it is rung for.
    fn sleep(&self, alarm: Option<Instant>) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rung = match alarm {
            None => self.bell.wait_while(rung, |rung| !*rung).unwrap_or_else(PoisonError::into_inner),
            Some(alarm) => {
                let left = alarm.saturating_duration_since(Instant::now());
                let woken = self.bell.wait_timeout_while(rung, left, |rung| !*rung);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        *rung = false;
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
        let (prepare, rows, tensors) = match inputs {
            Inputs::Ready(tensors) => (None, 1, Some(tensors)),
            Inputs::Later { prepare, rows } => (Some(prepare), rows.max(1), None),
        };
        let now = Instant::now();
        let slot = Arc::new(Slot::new(Arc::clone(&self.statistics), now));
        let work = Box::new(Request { prepare, finish: Some(finish), slot: Arc::clone(&slot) });
        let mut schedule = self.shared.monitor.lock();
        let id = schedule.next_job();
        let job = Job {
            id,
            request,
            submitted: now,
            deadline: now + deadline,
            rows,
            prepared: Duration::ZERO,
            work,
            caller: Arc::clone(&slot) as _,
        };
        let submitted = schedule.submit(self.id, job, tensors, now);
        if submitted.as_ref().is_ok_and(|wanted| wanted.worker) {
            schedule.wake();
        }
        drop(schedule);
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

    /// Why the model is closed, if it is.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        self.shared.monitor.lock().closed(self.id)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let jobs = self.shared.monitor.lock().close_lane(self.id);
        jobs.iter().for_each(|job| _ = job.caller.fail(Failed::Stopped));
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

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
