//! What waits for one model, within a bound, and which of it a free worker takes. Time is an argument; there are no
//! threads here.

use super::{
    batch,
    job::{Job, JobId},
};
use predictd_protocol::inference::tensor::Tensor;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How requests for a model share runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Whether the first dimension of all tensors counts rows; else a request is one row.
    pub has_rows: bool,
    /// Whether rows of several requests may be one run.
    pub joins: bool,
    /// Rows in one run, at most; a request that has more runs alone.
    pub max_rows: usize,
    /// How long what could run waits for more rows.
    pub max_delay: Duration,
    /// Rows that may wait. A request that has more is taken where nothing else waits.
    pub queue: usize,
}

/// A job whose tensors are there.
#[derive(Debug)]
pub(super) struct Ready {
    pub job: Job,
    pub inputs: Vec<Tensor>,
    pub since: Instant,
}

/// A job that has been taken out undone, with the tensors that it had.
pub(super) type Withdrawn = (Job, Vec<Tensor>);

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Task {
    /// Make a request's tensors.
    Prepare(Job),
    /// Run the model once for these, which are alike.
    Run(Vec<Ready>),
}

/// When there is something to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(Instant),
    Never,
}

impl Due {
    /// The moment to come from which there is something.
    pub(super) fn later(self) -> Option<Instant> {
        match self {
            Self::At(due) => Some(due),
            Self::Now | Self::Never => None,
        }
    }
}

/// The requests that wait for one model.
#[derive(Debug)]
pub(super) struct Queue {
    batching: Batching,
    /// Without tensors yet, first come first.
    raw: VecDeque<Job>,
    /// With tensors, first come first.
    ready: VecDeque<Ready>,
    rows: usize,
    ready_rows: usize,
    /// What a run has taken of late.
    usual: Duration,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub waiting: usize,
}

impl Queue {
    pub(super) fn new(batching: Batching) -> Self {
        Self {
            batching,
            raw: VecDeque::new(),
            ready: VecDeque::new(),
            rows: 0,
            ready_rows: 0,
            usual: Duration::ZERO,
        }
    }

    /// Rows that wait.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Requests that wait.
    pub(super) fn requests(&self) -> usize {
        self.raw.len() + self.ready.len()
    }

    /// The rows that a request with these tensors counts for.
    pub(super) fn rows_of(&self, tensors: &[Tensor]) -> usize {
        if self.batching.has_rows { batch::rows(tensors).max(1) } else { 1 }
    }

    /// Whether `rows` more may wait.
    pub(super) fn room_for(&self, rows: usize) -> Result<(), Full> {
        let fits = self.rows.saturating_add(rows) <= self.batching.queue;
        if fits || self.rows == 0 { Ok(()) } else { Err(Full { waiting: self.rows }) }
    }

    /// Whether no more than half of what may wait does.
    pub(super) fn is_half_empty(&self) -> bool {
        self.rows <= self.batching.queue / 2
    }

    /// A run took so long.
    pub(super) fn ran(&mut self, took: Duration) {
        self.usual = (self.usual * 7 + took) / 8;
    }

    /// Takes in a job that still needs its tensors.
    pub(super) fn push(&mut self, job: Job) {
        self.rows += job.rows;
        self.raw.push_back(job);
    }

    /// Takes in a job that has its tensors, before those that came later.
    pub(super) fn push_ready(&mut self, mut job: Job, inputs: Vec<Tensor>, now: Instant) {
        job.rows = self.rows_of(&inputs);
        self.rows += job.rows;
        self.ready_rows += job.rows;
        let at = self.ready.iter().rposition(|other| other.job.id < job.id).map_or(0, |before| before + 1);
        self.ready.insert(at, Ready { job, inputs, since: now });
    }

    /// When a worker may take something.
    pub(super) fn due(&self, now: Instant) -> Due {
        let Some(first) = self.ready.front() else {
            return if self.raw.is_empty() { Due::Never } else { Due::Now };
        };
        let enough = !self.batching.joins || self.ready_rows >= self.batching.max_rows;
        let until = first.since + self.batching.max_delay;
        if enough || !self.raw.is_empty() || until <= now { Due::Now } else { Due::At(until) }
    }

    /// What the next of `idle` workers, itself included, is to do: its share and no more, so that all have something.
    pub(super) fn take(&mut self, now: Instant, idle: usize) -> Option<Task> {
        if self.due(now) != Due::Now {
            return None;
        }
        // Tensors first, until there is a full batch: that is what makes batches of pictures.
        if (self.ready.is_empty() || self.ready_rows < self.batching.max_rows)
            && let Some(job) = self.raw.pop_front()
        {
            self.rows -= job.rows;
            return Some(Task::Prepare(job));
        }
        let share = self.ready_rows.div_ceil(idle.max(1)).min(self.batching.max_rows);
        // Under more load than can be borne the oldest are about to run out of time: a run that would end too late is for
        // nobody, so whoever can still be answered in time goes first. If nobody can, the estimate is given a chance to be wrong.
        let in_time = |ready: &Ready| ready.job.deadline > now + self.usual;
        let mut at = self.ready.iter().position(in_time).unwrap_or(0);
        let first = self.ready.remove(at)?;
        let mut rows = first.job.rows;
        let mut batch = vec![first];
        while self.batching.joins && rows < share && at < self.ready.len() {
            let other = &self.ready[at];
            if rows + other.job.rows <= share && batch::alike(&batch[0].inputs, &other.inputs) {
                rows += other.job.rows;
                batch.extend(self.ready.remove(at));
            } else {
                at += 1;
            }
        }
        self.rows -= rows;
        self.ready_rows -= rows;
        Some(Task::Run(batch))
    }

    /// Takes a job out, if it still waits.
    pub(super) fn remove(&mut self, id: JobId) -> Option<Withdrawn> {
        self.remove_where(|job| job.id == id).pop()
    }

    /// Takes out what has waited too long.
    pub(super) fn remove_expired(&mut self, now: Instant) -> Vec<Withdrawn> {
        self.remove_where(|job| job.deadline <= now)
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Vec<Withdrawn> {
        self.remove_where(|_| true)
    }

    /// The first moment at which something has waited too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.raw.iter().chain(self.ready.iter().map(|ready| &ready.job)).map(|job| job.deadline).min()
    }

    fn remove_where(&mut self, mut which: impl FnMut(&Job) -> bool) -> Vec<Withdrawn> {
        let mut removed = Vec::new();
        // By index, since neither half of a `VecDeque` gives up its elements by condition.
        for at in (0..self.raw.len()).rev() {
            if which(&self.raw[at]) {
                removed.extend(self.raw.remove(at).map(|job| (job, Vec::new())));
            }
        }
        for at in (0..self.ready.len()).rev() {
            if which(&self.ready[at].job)
                && let Some(ready) = self.ready.remove(at)
            {
                self.ready_rows -= ready.job.rows;
                removed.push((ready.job, ready.inputs));
            }
        }
        self.rows -= removed.iter().map(|(job, _)| job.rows).sum::<usize>();
        removed
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
