//! What became of the requests for one model, in numbers.
//!
//! Exact: each request is counted once, where its outcome is decided and before anybody can see it. A request's times are
//! its caller's, so that those of a run that several shared count fully for each of them, as in Triton
//! (`extension_statistics.md`); what the runs themselves took is kept by the rows that they had.

use super::{access::Work, histogram::Histogram};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// The counters of one model. To count takes one short lock, and no clock.
#[derive(Debug)]
pub struct Statistics {
    state: Mutex<State>,
    /// Runs of up to so many rows are kept apart whatever comes.
    max_rows: usize,
}

#[derive(Debug, Default)]
struct State {
    figures: Figures,
    /// The last answer, until somebody asks for its time of day.
    last: Option<Instant>,
}

/// Larger runs, which are of single requests, are kept apart for so many sizes: clients choose these.
const LARGE_SIZES: usize = 32;

/// What has been counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that were answered.
    pub answered: u64,
    /// Their rows.
    pub rows: u64,
    /// How long they waited for workers.
    pub queue_wait: Histogram,
    /// How long their tensors took to make and to join.
    pub prepare: Histogram,
    /// How long the model ran.
    pub run: Histogram,
    /// How long their answers took to make, from the end of the run.
    pub finish: Histogram,
    /// Runs that gave an answer.
    pub runs: u64,
    /// These by their rows, few rows first. Where there are more sizes than are kept apart, some runs are missing.
    pub by_rows: Vec<Runs>,
    /// Of all runs, how many had up to 1, 2, 4, ... 1024 rows; the last are larger.
    pub sizes: [u64; SIZES],
    /// The rows of all runs.
    pub runs_rows: u64,
    /// When there was an answer last.
    pub last: Option<SystemTime>,
    /// By reason.
    failures: [Failures; Reason::ALL.len()],
}

/// Powers of two, and what is more.
pub const SIZES: usize = 12;

/// The runs of so many rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// The rows of each.
    pub rows: usize,
    /// How many there were.
    pub count: u64,
    /// How long their tensors took to make and to join, all together.
    pub prepare: Duration,
    /// How long the model ran.
    pub run: Duration,
    /// How long their answers took to make.
    pub finish: Duration,
}

/// Requests that have no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// How long it took until that was clear, all together.
    pub time: Duration,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It found the queue full.
    Full,
    /// The model was closed, since a run of it is stuck.
    Closed,
    /// Its time was up.
    Deadline,
    /// Its client went away.
    Cancelled,
    /// The model failed.
    Model,
    /// A worker could not make its tensors of what it had sent.
    Input,
    /// The model's outputs could not be answered as it asked.
    Answer,
    /// Something panicked.
    Panicked,
    /// The pool ended, or the model was taken out of service.
    Stopped,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Full,
        Self::Closed,
        Self::Deadline,
        Self::Cancelled,
        Self::Model,
        Self::Input,
        Self::Answer,
        Self::Panicked,
        Self::Stopped,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Closed => "closed",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Model => "model",
            Self::Input => "input",
            Self::Answer => "answer",
            Self::Panicked => "panicked",
            Self::Stopped => "stopped",
        }
    }
}

/// A run that has ended, whose callers get their answers now. It counts with the first of these: a run without any has
/// not succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Execution {
    rows: usize,
    prepare: Duration,
    run: Duration,
    /// Up to when answers were made.
    finished: Instant,
    counted: bool,
}

impl Execution {
    /// A run of so many rows that took so long and has just `ended`; `prepare` is what was spent on its tensors, for
    /// all requests.
    #[must_use]
    pub fn new(rows: usize, prepare: Duration, run: Duration, ended: Instant) -> Self {
        Self { rows, prepare, run, finished: ended, counted: false }
    }
}

impl Statistics {
    /// Nothing yet, for a model whose requests share runs of up to `max_rows`.
    #[must_use]
    pub fn new(max_rows: usize) -> Self {
        Self { state: Mutex::default(), max_rows }
    }

    /// A request of `rows` rows got its answer of `execution` at `now`; `work` says what it took.
    pub fn answered(&self, rows: usize, work: &Work, execution: &mut Execution, now: Instant) {
        let finish = now - execution.finished;
        let mut state = self.lock();
        state.last = Some(now);
        let figures = &mut state.figures;
        figures.answered += 1;
        figures.rows += rows as u64;
        figures.queue_wait.record(work.queue_wait);
        figures.prepare.record(work.prepare);
        figures.run.record(work.run);
        figures.finish.record(work.finish);
        if !execution.counted {
            figures.runs += 1;
            figures.runs_rows += execution.rows as u64;
            figures.sizes[size(execution.rows)] += 1;
        }
        if let Some(runs) = figures.runs_of(execution.rows, self.max_rows) {
            runs.finish += finish;
            if !execution.counted {
                runs.count += 1;
                runs.prepare += execution.prepare;
                runs.run += execution.run;
            }
        }
        execution.counted = true;
        execution.finished = now;
    }

    /// A request has failed, so long after it came.
    pub fn failed(&self, reason: Reason, after: Duration) {
        let failures = &mut self.lock().figures.failures[reason as usize];
        failures.count += 1;
        failures.time += after;
    }

    /// What has been counted so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut state = self.lock();
        if let Some(last) = state.last.take() {
            state.figures.last = SystemTime::now().checked_sub(last.elapsed());
        }
        state.figures.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has left whole numbers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a run of so many rows among the sizes.
fn size(rows: usize) -> usize {
    let doublings = rows.clamp(1, 1 << SIZES).next_power_of_two().trailing_zeros();
    (doublings as usize).min(SIZES - 1)
}

impl Figures {
    /// How long the requests that were answered took, all together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.queue_wait.sum() + self.prepare.sum() + self.run.sum() + self.finish.sum()
    }

    /// Requests that failed for this reason.
    #[must_use]
    pub fn failures(&self, reason: Reason) -> Failures {
        self.failures[reason as usize]
    }

    /// Requests that failed.
    #[must_use]
    pub fn failed(&self) -> Failures {
        self.failures.iter().fold(Failures::default(), |sum, failures| Failures {
            count: sum.count + failures.count,
            time: sum.time + failures.time,
        })
    }

    fn runs_of(&mut self, rows: usize, max_rows: usize) -> Option<&mut Runs> {
        let at = match self.by_rows.binary_search_by_key(&rows, |runs| runs.rows) {
            Ok(at) => at,
            Err(at) => {
                let large = self.by_rows.iter().rev().take_while(|runs| runs.rows > max_rows).count();
                if rows > max_rows && large == LARGE_SIZES {
                    return None;
                }
                self.by_rows.insert(at, Runs { rows, ..Runs::default() });
                at
            }
        };
        self.by_rows.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn work(queue_wait: u32, prepare: u32, run: u32, finish: u32) -> Work {
        Work {
            queue_wait: queue_wait * MS,
            prepare: prepare * MS,
            run: run * MS,
            finish: finish * MS,
            ..Work::default()
        }
    }

    #[test]
    fn times_of_a_shared_run_count_for_each_request_and_once_for_the_run() {
        let (statistics, ended) = (Statistics::new(8), Instant::now());
        let mut execution = Execution::new(3, 7 * MS, 10 * MS, ended);
        statistics.answered(1, &work(1, 2, 10, 4), &mut execution, ended + 4 * MS);
        statistics.answered(2, &work(5, 6, 10, 9), &mut execution, ended + 9 * MS);
        let figures = statistics.figures();
        assert_eq!((figures.answered, figures.rows, figures.runs), (2, 3, 1));
        assert_eq!((figures.queue_wait.sum(), figures.prepare.sum()), (6 * MS, 8 * MS));
        assert_eq!((figures.run.sum(), figures.finish.sum()), (20 * MS, 13 * MS));
        assert_eq!(figures.total(), 47 * MS);
        let runs = Runs { rows: 3, count: 1, prepare: 7 * MS, run: 10 * MS, finish: 9 * MS };
        assert_eq!(figures.by_rows, [runs]);
        assert_eq!(figures.failed(), Failures::default());
    }

    #[test]
    fn runs_are_told_apart_by_doublings_of_their_rows() {
        for (rows, expected) in
            [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11), (1 << 30, 11)]
        {
            assert_eq!(size(rows), expected, "{rows}");
        }
        let statistics = Statistics::new(8);
        for rows in [1, 8, 8, 5000] {
            let now = Instant::now();
            let mut execution = Execution::new(rows, MS, MS, now);
            statistics.answered(rows, &work(0, 0, 1, 0), &mut execution, now);
            statistics.answered(rows, &work(0, 0, 1, 0), &mut execution, now);
        }
        let figures = statistics.figures();
        assert_eq!((figures.sizes, figures.runs_rows), ([1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1], 5017));
        assert_eq!(figures.run.count(), 8);
    }

    #[test]
    fn failures_are_counted_by_reason() {
        let statistics = Statistics::new(1);
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "{reason:?}");
            (0..=at).for_each(|_| statistics.failed(reason, MS));
        }
        let figures = statistics.figures();
        for (reason, count) in Reason::ALL.into_iter().zip(1..) {
            assert_eq!(
                figures.failures(reason),
                Failures { count, time: MS * u32::try_from(count).unwrap() }
            );
        }
        assert_eq!(figures.failed().count, 45);
        assert_eq!((figures.answered, figures.runs, figures.last), (0, 0, None));
    }

    #[test]
    fn sizes_that_clients_choose_are_bounded_and_those_of_batches_are_all_kept() {
        let statistics = Statistics::new(300);
        let run = |rows| {
            let now = Instant::now();
            let mut execution = Execution::new(rows, MS, MS, now);
            statistics.answered(rows, &work(0, 0, 1, 0), &mut execution, now);
        };
        (1000..2000).rev().for_each(run);
        (1..=300).for_each(run);
        run(5);
        let figures = statistics.figures();
        assert_eq!((figures.runs, figures.by_rows.len()), (1301, LARGE_SIZES + 300));
        assert!(figures.by_rows.is_sorted_by_key(|runs| runs.rows));
        assert_eq!(figures.by_rows.iter().take(300).map(|runs| runs.count).sum::<u64>(), 301);
    }

    #[test]
    fn the_time_of_the_last_answer_stands_until_the_next() {
        let statistics = Statistics::new(1);
        let now = Instant::now();
        let answer = |at| statistics.answered(1, &work(0, 0, 0, 0), &mut Execution::new(1, MS, MS, at), at);
        answer(now.checked_sub(Duration::from_secs(3)).unwrap());
        let first = statistics.figures().last.unwrap();
        assert!(first.elapsed().unwrap() >= Duration::from_secs(3));
        assert_eq!(statistics.figures().last, Some(first));
        answer(now);
        assert!(statistics.figures().last.unwrap() > first);
    }
}
