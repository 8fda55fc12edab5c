//! Work to results, on pinned threads.
//!
//! Work is queued within a bound and done in the order it came. Whoever submits it gets a [`Ticket`]: to wait for, or to
//! drop, which takes work out of the queue and ends what runs.

mod queue;
mod worker;

use crate::{model::engine::Interrupt, os::cpus::CpuId, telemetry::access::Work};
use queue::Queue;
use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread::JoinHandle,
    time::Instant,
};
use tokio::sync::oneshot;

/// How many workers there are, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// For each worker the cores that it is pinned to; none leaves it to the kernel.
    pub workers: Vec<Vec<CpuId>>,
    /// Work that may wait.
    pub queue: usize,
}

/// Threads that work through a queue. Dropped, it does what is queued, then ends them.
#[derive(Debug)]
pub struct Pool {
    queue: Arc<Queue<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// Why work is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// As much as may wait is waiting.
    #[error("the queue is full")]
    Full,
    /// The pool is ending.
    #[error("the server is shutting down")]
    Closed,
}

/// The work panicked; it has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work panicked")]
pub struct Panicked;

/// A piece of work as a worker sees it.
struct Job {
    submitted: Instant,
    interrupt: Arc<Interrupt>,
    run: Run,
}

/// Does the work and sends the result to the ticket.
type Run = Box<dyn FnOnce(&Interrupt, Work) + Send>;

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("submitted", &self.submitted).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts the workers.
    ///
    /// # Errors
    /// Where a thread cannot be made, or not pinned.
    pub fn start(options: &Options) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(options.queue));
        let mut pool = Self { queue, threads: Vec::new() };
        for (number, cpus) in options.workers.iter().enumerate() {
            let thread = worker::start(number + 1, cpus.clone(), Arc::clone(&pool.queue))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Queues `work`; the ticket gives its result.
    ///
    /// # Errors
    /// Where there is no room, or the pool is ending.
    pub fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Interrupt) -> T + Send + 'static,
    ) -> Result<Ticket<T>, Rejected> {
        let (sender, receiver) = oneshot::channel();
        let interrupt = Arc::new(Interrupt::default());
        let run = move |interrupt: &Interrupt, mut done: Work| {
            let begun = Instant::now();
            let result = work(interrupt);
            done.run = begun.elapsed();
            // Nobody may be waiting any more.
            let _ = sender.send((result, done));
        };
        self.queue.push(Job {
            submitted: Instant::now(),
            interrupt: Arc::clone(&interrupt),
            run: Box::new(run),
        })?;
        Ok(Ticket { receiver, interrupt })
    }

    /// Work that is waiting.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// The claim to a result. Dropped before that is there, it cancels the work.
#[derive(Debug)]
pub struct Ticket<T> {
    receiver: oneshot::Receiver<(T, Work)>,
    interrupt: Arc<Interrupt>,
}

impl<T> Future for Ticket<T> {
    type Output = Result<(T, Work), Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map_err(|_| Panicked)
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.interrupt.terminate();
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
