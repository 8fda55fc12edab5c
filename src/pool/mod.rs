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
//! | `lane` | where the requests for one model come in |
//! | `job` | a request, and what is to be done for it |
//! | `chore` | what else is to be done for one |
//! | `outcome`, `ticket` | what becomes of it, how that is counted, and its way to who waits |
//! | `worker`, `watchdog` | the threads |
//! | `pulse` | whether they get on |

mod batch;
mod chore;
mod crew;
mod job;
mod lane;
mod monitor;
mod outcome;
mod pulse;
mod queue;
mod schedule;
mod sync;
mod ticket;
mod watchdog;
mod worker;

pub use crew::Done;
pub use lane::{Inputs, Lane, Order, Prepared, Ticket};
pub use pulse::Pulse;
pub use queue::Batching;
pub use schedule::{Activity, Closed, Rejections, Standing, Waiting, Worker};

use crate::{
    model::engine::Engine,
    os::cpus::CpuId,
    telemetry::{access::Work as Timing, statistics::Reason},
};
use monitor::Monitor;
use schedule::{Rules, Schedule};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
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
        Lane::open(&self.shared, name, engine, batching)
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.options.workers.len()
    }

    /// How everything stands. Blocks for as long as the pool's own lock is held.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.shared.monitor.lock().standing()
    }

    /// The core that a worker is pinned to, the first if there are several.
    #[must_use]
    pub fn core(&self, worker: usize) -> Option<CpuId> {
        self.shared.options.workers.get(worker.checked_sub(1)?)?.first().copied()
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
        let events = {
            let mut schedule = self.shared.monitor.lock();
            schedule.stop();
            let events = schedule.abandon(Instant::now());
            schedule.wake_all();
            events
        };
        events.into_iter().for_each(|event| watchdog::handle(&self.shared, event));
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

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
