//! Who works: the threads, their places, and the runs that they are at. Time is an argument.
//!
//! There are as many places as workers. A thread whose run is slow has none meanwhile, and a spare takes it; when the run
//! ends there is one thread too many, and the spare leaves.

use super::{
    job::{Job, JobId},
    outcome::Caller,
};
use crate::{model::engine::Interrupt, os::process::ThreadId, telemetry::RequestId};
use std::{
    fmt::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

/// Tells models apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(pub u64);

/// A thread of the pool: the workers from 1, then those that stand in for them.
pub(super) type WorkerNumber = usize;

/// The threads.
#[derive(Debug)]
pub(super) struct Crew {
    places: usize,
    /// By number; `None` for a spare that has left.
    threads: Vec<Option<Thread>>,
    /// Threads that have a place: all but those whose run is slow.
    placed: usize,
    /// What spares did that have left.
    former: Done,
}

/// One thread of the pool.
#[derive(Debug, Default)]
pub(super) struct Thread {
    pub id: Option<ThreadId>,
    pub run: Option<Run>,
    /// It stands in for another, and ends when that one is back.
    pub spare: bool,
    pub done: Done,
    /// How often it was started: a worker is anew after a stuck run.
    pub starts: u64,
    /// When it was for the last time.
    pub started: Option<Instant>,
}

/// What a thread has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Runs of models.
    pub runs: u64,
    /// Their rows.
    pub rows: u64,
    /// Of the runs, those that failed or panicked.
    pub failed: u64,
    /// Of the runs, those that were told to end: nobody waited for them any more.
    pub terminated: u64,
    /// Requests that were in runs to the end, whatever that was.
    pub requests: u64,
    /// Bodies that it made tensors of, and chores.
    pub prepared: u64,
    /// How long it was at all that.
    pub busy: Duration,
}

/// What a thread is doing.
pub(super) struct Run {
    pub lane: LaneId,
    /// What that is called, should it be gone when it is spoken of.
    pub name: Arc<str>,
    pub begun: Instant,
    /// Or only makes tensors for it.
    pub runs_model: bool,
    pub rows: usize,
    pub interrupt: Arc<Interrupt>,
    pub parts: Vec<Part>,
    pub slow: bool,
    pub terminated: Option<Instant>,
    pub stuck: bool,
}

/// One caller's part in a run.
pub(super) struct Part {
    pub id: JobId,
    pub request: RequestId,
    pub deadline: Instant,
    pub caller: Arc<dyn Caller>,
    /// Answered, or gone.
    pub over: bool,
}

/// A run, for a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub lane: Arc<str>,
    pub worker: WorkerNumber,
    pub thread: Option<ThreadId>,
    pub running: Duration,
    /// Of the requests that it is for.
    pub requests: Vec<RequestId>,
}

/// What a thread has to say or do after its task.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// It took so long.
    pub took: Duration,
    /// It had been slow.
    pub slow: bool,
    /// It had been stuck, and what that means for its model.
    pub stuck: Option<Unstuck>,
    /// Requests that were refused while the model was closed for that.
    pub refused: u64,
}

/// What the end of a stuck run means for its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unstuck {
    /// It is open again.
    Open,
    /// Others keep it closed.
    Closed,
    /// It is gone, or was replaced.
    Gone,
}

impl Crew {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places,
            threads: (0..places).map(|_| Some(Thread::default())).collect(),
            placed: places,
            former: Done::default(),
        }
    }

    fn thread(&mut self, worker: WorkerNumber) -> &mut Thread {
        self.threads[worker - 1].get_or_insert_default()
    }

    /// Says which thread of the system a worker is, from now on.
    pub(super) fn introduce(&mut self, worker: WorkerNumber, id: ThreadId, now: Instant) {
        let thread = self.thread(worker);
        (thread.id, thread.started) = (Some(id), Some(now));
        thread.starts += 1;
    }

    /// A worker has a task now.
    pub(super) fn begin(&mut self, worker: WorkerNumber, run: Run) {
        self.thread(worker).run = Some(run);
    }

    /// What a worker is at.
    pub(super) fn run(&self, worker: WorkerNumber) -> Option<&Run> {
        self.threads[worker - 1].as_ref()?.run.as_ref()
    }

    /// A worker has done so much.
    pub(super) fn count(&mut self, worker: WorkerNumber, done: Done) {
        self.thread(worker).done.add(done);
    }

    /// A worker has done its task; a slow one has its place back, which a spare will notice.
    pub(super) fn end(&mut self, worker: WorkerNumber) -> Option<Run> {
        let run = self.thread(worker).run.take()?;
        self.placed += usize::from(run.slow);
        Some(run)
    }

    /// More threads than places: a spare that waits should look.
    pub(super) fn is_crowded(&self) -> bool {
        self.placed > self.places
    }

    /// Whether `worker` stands in for one that is back.
    pub(super) fn is_superfluous(&self, worker: WorkerNumber) -> bool {
        self.is_crowded() && self.threads[worker - 1].as_ref().is_some_and(|thread| thread.spare)
    }

    /// A thread ends, or could not be started.
    pub(super) fn leave(&mut self, worker: WorkerNumber) {
        self.placed -= 1;
        if let Some(thread) = self.threads[worker - 1].take() {
            self.former.add(thread.done);
        }
    }

    /// Threads that have not left.
    pub(super) fn len(&self) -> usize {
        self.threads.iter().flatten().count()
    }

    /// All that are at a task.
    pub(super) fn busy(&mut self) -> impl Iterator<Item = (WorkerNumber, Option<ThreadId>, &mut Run)> {
        let threads = self.threads.iter_mut().enumerate();
        threads.filter_map(|(at, thread)| {
            let Thread { id, run, .. } = thread.as_mut()?;
            Some((at + 1, *id, run.as_mut()?))
        })
    }

    /// Every task.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.threads.iter().flatten().filter_map(|thread| thread.run.as_ref())
    }

    /// Every thread that has not left.
    pub(super) fn threads(&self) -> impl Iterator<Item = (WorkerNumber, &Thread)> {
        self.threads.iter().enumerate().filter_map(|(at, thread)| Some((at + 1, thread.as_ref()?)))
    }

    /// What those did that have left.
    pub(super) fn former(&self) -> Done {
        self.former
    }

    /// So many runs have become slow: gives the numbers of the spares that take their places.
    pub(super) fn replace(&mut self, slow: usize) -> Vec<WorkerNumber> {
        self.placed -= slow;
        let mut spares = Vec::new();
        while self.placed < self.places && spares.len() < slow {
            self.placed += 1;
            spares.push(self.add_spare());
        }
        spares
    }

    fn add_spare(&mut self) -> WorkerNumber {
        let spare = Some(Thread { spare: true, ..Thread::default() });
        // Never a worker's own number.
        match (self.places..self.threads.len()).find(|at| self.threads[*at].is_none()) {
            Some(at) => {
                self.threads[at] = spare;
                at + 1
            }
            None => {
                self.threads.push(spare);
                self.threads.len()
            }
        }
    }
}

impl Done {
    pub(super) fn add(&mut self, more: Self) {
        self.runs += more.runs;
        self.rows += more.rows;
        self.failed += more.failed;
        self.terminated += more.terminated;
        self.requests += more.requests;
        self.prepared += more.prepared;
        self.busy += more.busy;
    }
}

impl Run {
    /// A task for the callers of `jobs`.
    pub(super) fn new<'a>(
        lane: LaneId,
        name: &Arc<str>,
        jobs: impl Iterator<Item = &'a Job>,
        runs_model: bool,
        now: Instant,
    ) -> Self {
        let mut rows = 0;
        let parts = jobs.inspect(|job| rows += job.rows).map(Part::of).collect();
        Self {
            lane,
            name: Arc::clone(name),
            begun: now,
            runs_model,
            interrupt: Arc::new(Interrupt::default()),
            parts,
            rows,
            slow: false,
            terminated: None,
            stuck: false,
        }
    }

    /// What ends the run, if nobody waits for it any more and it has not been told yet.
    pub(super) fn terminate_if_over(&mut self, now: Instant) -> Option<Arc<Interrupt>> {
        if self.terminated.is_some() || !self.parts.iter().all(|part| part.over) {
            return None;
        }
        self.terminated = Some(now);
        Some(Arc::clone(&self.interrupt))
    }

    /// The next moment at which it will have been at it for too long, in one way or another.
    pub(super) fn alarm(&self, slow_after: Duration, stuck_after: Duration) -> Option<Instant> {
        let deadline = self.parts.iter().filter(|part| !part.over).map(|part| part.deadline).min();
        let slow = (!self.slow).then(|| self.begun + slow_after);
        let stuck = self.terminated.filter(|_| !self.stuck).map(|terminated| terminated + stuck_after);
        [deadline, slow, stuck].into_iter().flatten().min()
    }
}

impl Part {
    fn of(job: &Job) -> Self {
        Self {
            id: job.id,
            request: job.request.clone(),
            deadline: job.deadline,
            caller: Arc::clone(&job.caller),
            over: false,
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("lane", &self.lane).field("slow", &self.slow).finish_non_exhaustive()
    }
}

impl Report {
    /// The ids of the requests, as many as fit a line.
    pub(super) fn requests(&self) -> String {
        const SHOWN: usize = 8;
        let mut text = self.requests.iter().take(SHOWN).map(RequestId::as_str).collect::<Vec<_>>().join(" ");
        if self.requests.len() > SHOWN {
            let _ = write!(text, " and {} more", self.requests.len() - SHOWN);
        }
        text
    }
}
