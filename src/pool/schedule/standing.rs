//! How everything stands at one moment: what each thread is at, what waits for each model.

use super::{super::crew::Thread, Done, Lane, LaneId, Rejected, Schedule, WorkerNumber};
use crate::{
    os::process::ThreadId,
    telemetry::{RequestId, episode::Episode},
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// The whole pool.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Its threads.
    pub workers: Vec<Worker>,
    /// What spares did that have left.
    pub former: Done,
    /// Requests that were not taken.
    pub rejected: Rejections,
    /// The models whose queues are full.
    pub full: Vec<(Arc<str>, Episode)>,
    pub(in crate::pool) queues: BTreeMap<LaneId, Waiting>,
}

/// A model that takes no requests.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Instant,
}

/// One thread.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The workers have 1 and up; spares what comes after.
    pub number: WorkerNumber,
    /// What Linux calls it, once it runs.
    pub thread: Option<ThreadId>,
    /// Whether it stands in for another.
    pub spare: bool,
    /// How often it was started.
    pub starts: u64,
    /// When it was for the last time, once it runs.
    pub started: Option<Instant>,
    /// What it is at.
    pub task: Option<Activity>,
    /// What it has done before.
    pub done: Done,
}

/// What a thread is at.
#[derive(Clone, Debug)]
pub struct Activity {
    /// The model, as it was named when its lane was opened.
    pub model: Arc<str>,
    /// Whether it runs the model, or does something else for a request.
    pub runs_model: bool,
    /// For how many rows.
    pub rows: usize,
    /// Since when.
    pub begun: Instant,
    /// Another thread has taken its place.
    pub slow: bool,
    /// It did not end when it was told to.
    pub stuck: bool,
    /// The first of the requests that it is for.
    pub requests: Vec<RequestId>,
}

/// What there is of requests for one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Rows that wait.
    pub rows: usize,
    /// Requests that wait.
    pub requests: usize,
    /// Workers that are at it.
    pub running: usize,
    /// Requests that workers are at, and whose callers wait for that.
    pub begun: usize,
}

/// Requests that were not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    /// The queue was full.
    pub full: u64,
    /// The model was closed.
    pub closed: u64,
    /// The pool was ending, or the model was gone.
    pub stopped: u64,
}

/// Requests that are named.
const NAMED: usize = 4;

impl Schedule {
    /// Rows that wait for a model.
    pub(in crate::pool) fn waiting(&self, id: LaneId) -> usize {
        self.lanes.get(&id).map_or(0, |lane| lane.queue.rows())
    }

    /// Requests that wait for a model.
    pub(in crate::pool) fn pending(&self, id: LaneId) -> usize {
        self.lanes.get(&id).map_or(0, |lane| lane.queue.requests())
    }

    /// Why a model is closed, if it is, and since when.
    pub(in crate::pool) fn closed(&self, id: LaneId) -> Option<Closed> {
        self.lanes.get(&id)?.stuck.values().next().cloned()
    }

    pub(in crate::pool) fn standing(&self) -> Standing {
        let waiting = |lane: &Lane| Waiting {
            rows: lane.queue.rows(),
            requests: lane.queue.requests(),
            running: lane.running,
            begun: 0,
        };
        let mut queues: BTreeMap<_, _> = self.lanes.iter().map(|(id, lane)| (*id, waiting(lane))).collect();
        for run in self.crew.runs() {
            if let Some(of) = queues.get_mut(&run.lane) {
                of.begun += run.parts.iter().filter(|part| !part.over).count();
            }
        }
        let workers = self.crew.threads().map(|(number, thread)| {
            let task = thread.run.as_ref().map(|run| Activity {
                model: Arc::clone(&run.name),
                runs_model: run.runs_model,
                rows: run.rows,
                begun: run.begun,
                slow: run.slow,
                stuck: run.stuck,
                requests: run.parts.iter().take(NAMED).map(|part| part.request.clone()).collect(),
            });
            let Thread { id, spare, done, starts, started, .. } = *thread;
            Worker { number, thread: id, spare, starts, started, task, done }
        });
        let full = self.lanes.values().filter_map(|lane| Some((Arc::clone(&lane.name), lane.full?)));
        Standing {
            workers: workers.collect(),
            former: self.crew.former(),
            rejected: self.rejected,
            full: full.collect(),
            queues,
        }
    }
}

impl Rejections {
    pub(super) fn count(&mut self, why: &Rejected) {
        match why {
            Rejected::Full(_) => self.full += 1,
            Rejected::Closed(_) => self.closed += 1,
            Rejected::Stopped => self.stopped += 1,
        }
    }
}
