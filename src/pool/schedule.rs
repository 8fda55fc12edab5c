//! Who does what, and who has been at it for too long: all models' queues, whose turn it is, and the runs under way.
//!
//! Time is an argument; there are no threads here. What is to be done outside of the lock comes out as [`Event`]s.

mod full;
mod standing;
mod tick;

pub use standing::{Activity, Closed, Rejections, Standing, Waiting, Worker};

use super::{
    Rejected,
    crew::{Crew, Done, Ended, LaneId, Part, Report, Run, Unstuck, WorkerNumber},
    job::{Job, JobId},
    monitor::State,
    outcome::{Caller, Failed},
    queue::{Batching, Due, Queue, Task, Withdrawn},
};
use crate::{
    model::engine::{Engine, Interrupt},
    os::process::ThreadId,
    telemetry::episode::Episode,
};
use predictd_protocol::inference::tensor::Tensor;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// What the rules of time are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Workers that may be busy at once, slow ones aside; also the runs that one model may have at once.
    pub places: usize,
    pub slow_after: Duration,
    pub stuck_after: Duration,
    pub max_stuck: usize,
}

/// Everything that is waiting or under way.
pub(super) struct Schedule {
    rules: Rules,
    lanes: BTreeMap<LaneId, Lane>,
    /// The lanes where something waits, whose turn it is first.
    turns: VecDeque<LaneId>,
    crew: Crew,
    stuck: usize,
    /// When the watchdog will look next.
    alarm: Option<Instant>,
    /// Tasks that workers have taken.
    taken: u64,
    /// Whether anything was begun since it looked.
    active: bool,
    /// What the watchdog has to tell then.
    news: Vec<Event>,
    stopped: bool,
    next_id: u64,
    given_up: GivenUp,
    rejected: Rejections,
}

/// What nobody needs any more. It may be gigabytes, and is dropped with the lock released.
#[derive(Default)]
pub(super) struct GivenUp {
    withdrawn: Vec<Withdrawn>,
    lanes: Vec<Lane>,
}

/// One model: what waits for it, and what is known of its runs.
struct Lane {
    name: Arc<str>,
    engine: Arc<dyn Engine>,
    queue: Queue,
    /// Tasks under way, slow ones included.
    running: usize,
    /// Why it is closed, for each stuck run.
    stuck: BTreeMap<WorkerNumber, Closed>,
    /// Whether it is among the turns.
    listed: bool,
    /// That its queue is full.
    full: Option<Episode>,
    /// Requests that were refused since it is closed.
    refused: u64,
}

/// A task for a worker.
pub(super) struct Assignment {
    pub task: Task,
    pub lane: Arc<str>,
    pub engine: Arc<dyn Engine>,
    pub interrupt: Arc<Interrupt>,
    /// When it was taken.
    pub begun: Instant,
    /// The alarm is earlier than it was.
    pub watchdog: bool,
}

/// What the watchdog has to do, with the lock released.
pub(super) enum Event {
    /// The caller's time is up.
    Fail(Arc<dyn Caller>, Failed),
    /// Nobody waits for the run any more.
    Terminate(Arc<Interrupt>),
    /// The run has become slow: somebody stands in for its worker.
    Slow(Report),
    /// The run was told to end, and did not: its model is closed.
    Stuck(Report),
    /// Too many are stuck.
    Fatal(String),
    /// A thread of this number is wanted.
    Spare(WorkerNumber),
    /// The queue of this model is full, so that requests are refused; so many rows wait.
    Full(Arc<str>, usize),
    /// It is no longer.
    Eased(Arc<str>, Episode),
}

/// Who has to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// There is something to take.
    pub worker: bool,
    /// The alarm is earlier than it was.
    pub watchdog: bool,
}

/// What is to be done about a cancelled job.
#[derive(Debug, Default)]
pub(super) struct Cancelled {
    /// It was the last that its run was for.
    pub interrupt: Option<Arc<Interrupt>>,
    /// The alarm is earlier than it was.
    pub watchdog: bool,
}

impl Schedule {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            lanes: BTreeMap::new(),
            turns: VecDeque::new(),
            crew: Crew::new(rules.places),
            stuck: 0,
            alarm: None,
            taken: 0,
            active: false,
            news: Vec::new(),
            stopped: false,
            next_id: 0,
            given_up: GivenUp::default(),
            rejected: Rejections::default(),
        }
    }

    pub(super) fn open_lane(
        &mut self,
        name: Arc<str>,
        engine: Arc<dyn Engine>,
        batching: Batching,
    ) -> LaneId {
        let id = LaneId(self.next_number());
        let queue = Queue::new(batching);
        let stuck = BTreeMap::new();
        let lane = Lane { name, engine, queue, running: 0, stuck, listed: false, full: None, refused: 0 };
        self.lanes.insert(id, lane);
        id
    }

    /// Forgets a model. Its runs go on; what waits for it is given up.
    pub(super) fn close_lane(&mut self, id: LaneId) -> Vec<Event> {
        self.turns.retain(|turn| *turn != id);
        let Some(mut lane) = self.lanes.remove(&id) else { return Vec::new() };
        // What has begun is told before it ends.
        let (mut events, jobs) = (std::mem::take(&mut self.news), lane.queue.clear());
        events.extend(lane.full.take().map(|full| Event::Eased(Arc::clone(&lane.name), full)));
        self.given_up.tell(jobs, &mut events, |_| Failed::Stopped);
        self.given_up.lanes.push(lane);
        events
    }

    /// A name for a job that comes after all others.
    pub(super) fn next_job(&mut self) -> JobId {
        JobId(self.next_number())
    }

    fn next_number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Queues a job; with its tensors if there are any yet.
    pub(super) fn submit(
        &mut self,
        lane: LaneId,
        mut job: Job,
        inputs: Option<Vec<Tensor>>,
        now: Instant,
    ) -> Result<Wanted, Rejected> {
        let to = match self.admit(lane, &mut job, inputs.as_deref()) {
            Ok(to) => to,
            Err(why) => {
                self.given_up.withdrawn.push((job, inputs.unwrap_or_default()));
                self.note_rejected(lane, &why, now);
                return Err(why);
            }
        };
        let deadline = job.deadline;
        match inputs {
            None => to.queue.push(job),
            Some(inputs) => to.queue.push_ready(job, inputs, now),
        }
        self.list(lane);
        self.active = true;
        let late = deadline.min(now + self.rules.slow_after);
        let worker = self.lanes.get(&lane).is_some_and(|lane| self.is_due(lane, now));
        Ok(Wanted { worker, watchdog: self.set_alarm_for(lane, Some(late), now) })
    }

    /// The lane of a job, if that takes it: then counts its rows.
    fn admit(
        &mut self,
        lane: LaneId,
        job: &mut Job,
        inputs: Option<&[Tensor]>,
    ) -> Result<&mut Lane, Rejected> {
        let to = self.lanes.get_mut(&lane).filter(|_| !self.stopped).ok_or(Rejected::Stopped)?;
        if let Some(closed) = to.stuck.values().next() {
            return Err(Rejected::Closed(closed.reason.clone()));
        }
        if let Some(inputs) = inputs {
            job.rows = to.queue.rows_of(inputs);
        }
        to.queue.room_for(job.rows).map_err(|full| Rejected::Full(full.waiting))?;
        Ok(to)
    }

    /// Sets the alarm to when a lane is next due, if it waits for that, and to when one of its jobs is `late`; says whether
    /// it was later.
    fn set_alarm_for(&mut self, lane: LaneId, late: Option<Instant>, now: Instant) -> bool {
        let due = self.lanes.get(&lane).and_then(|lane| lane.queue.due(now).later());
        due.into_iter().chain(late).min().is_some_and(|at| self.set_alarm(at))
    }

    /// Sets the alarm to `at` if it is later; says whether it was.
    fn set_alarm(&mut self, at: Instant) -> bool {
        let earlier = self.alarm.is_none_or(|alarm| at < alarm);
        if earlier {
            self.alarm = Some(at);
        }
        earlier
    }

    fn list(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id)
            && !lane.listed
        {
            lane.listed = true;
            self.turns.push_back(id);
        }
    }

    /// Whether there is something that a worker could take.
    pub(super) fn has_work(&self, now: Instant) -> bool {
        self.turns.iter().filter_map(|id| self.lanes.get(id)).any(|lane| self.is_due(lane, now))
    }

    fn is_due(&self, lane: &Lane, now: Instant) -> bool {
        lane.stuck.is_empty() && lane.running < self.rules.places && lane.queue.due(now) == Due::Now
    }

    /// What `worker`, one of `idle` that have nothing to do, is to do next. Models take turns.
    pub(super) fn take(&mut self, worker: WorkerNumber, idle: usize, now: Instant) -> Option<Assignment> {
        for _ in 0..self.turns.len() {
            let id = self.turns.pop_front()?;
            let Some(lane) = self.lanes.get(&id) else { continue };
            let task = if self.is_due(lane, now) {
                self.lanes.get_mut(&id).and_then(|lane| lane.queue.take(now, idle))
            } else {
                None
            };
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.listed = lane.queue.due(now) != Due::Never;
            if lane.listed {
                self.turns.push_back(id);
            }
            let Some(task) = task else { continue };
            self.taken += 1;
            lane.running += 1;
            let run = match &task {
                Task::Prepare(job) => Run::new(id, &lane.name, std::iter::once(job), false, now),
                Task::Run(batch) => Run::new(id, &lane.name, batch.iter().map(|ready| &ready.job), true, now),
            };
            let mut assignment = Assignment {
                lane: Arc::clone(&lane.name),
                engine: Arc::clone(&lane.engine),
                interrupt: Arc::clone(&run.interrupt),
                begun: now,
                watchdog: false,
                task,
            };
            self.crew.begin(worker, run);
            self.active = true;
            // What is left may have been due only for what was taken.
            assignment.watchdog = self.set_alarm_for(id, None, now);
            return Some(assignment);
        }
        None
    }

    /// Says which thread of the system a worker is.
    pub(super) fn introduce(&mut self, worker: WorkerNumber, id: ThreadId, now: Instant) {
        self.crew.introduce(worker, id, now);
    }

    /// Puts a job back whose tensors are there now. It may have less time than before, and wait for others to share its run:
    /// says whether the alarm is earlier for that. Its lane may be gone, or closed, or its time up: then says who is to be
    /// told so.
    pub(super) fn requeue(
        &mut self,
        worker: WorkerNumber,
        job: Job,
        inputs: Vec<Tensor>,
        now: Instant,
    ) -> Result<bool, (Arc<dyn Caller>, Failed)> {
        let deadline = job.deadline;
        let lane = self.crew.run(worker).map(|run| run.lane);
        let lane = lane.and_then(|id| Some((id, self.lanes.get_mut(&id)?)));
        let (id, lane) = match lane {
            _ if deadline <= now => return Err(self.withdraw(job, inputs, Failed::Deadline(deadline))),
            None => return Err(self.withdraw(job, inputs, Failed::Stopped)),
            Some((id, lane)) => (id, lane),
        };
        if let Some(closed) = lane.stuck.values().next() {
            let why = Failed::Closed(closed.reason.clone());
            return Err(self.withdraw(job, inputs, why));
        }
        lane.queue.push_ready(job, inputs, now);
        self.list(id);
        Ok(self.set_alarm_for(id, Some(deadline), now))
    }

    fn withdraw(&mut self, job: Job, inputs: Vec<Tensor>, why: Failed) -> (Arc<dyn Caller>, Failed) {
        let caller = Arc::clone(&job.caller);
        self.given_up.withdrawn.push((job, inputs));
        (caller, why)
    }

    /// A worker has done so much.
    pub(super) fn count(&mut self, worker: WorkerNumber, done: Done) {
        self.crew.count(worker, done);
    }

    /// A worker has done its task.
    pub(super) fn end(&mut self, worker: WorkerNumber, now: Instant) -> Ended {
        let Some(run) = self.crew.end(worker) else { return Ended::default() };
        let mut ended = Ended { took: now - run.begun, slow: run.slow, ..Ended::default() };
        if let Some(lane) = self.lanes.get_mut(&run.lane) {
            lane.running -= 1;
            lane.stuck.remove(&worker);
            // One that was broken off says nothing of others.
            if run.runs_model && run.terminated.is_none() {
                lane.queue.ran(now - run.begun);
            }
        }
        if run.stuck {
            self.stuck -= 1;
            ended.stuck = Some(match self.lanes.get_mut(&run.lane) {
                Some(lane) if lane.stuck.is_empty() => {
                    ended.refused = std::mem::take(&mut lane.refused);
                    Unstuck::Open
                }
                Some(_) => Unstuck::Closed,
                None => Unstuck::Gone,
            });
        }
        ended
    }

    /// Whether there are more threads than places: then a spare that waits should look.
    pub(super) fn is_crowded(&self) -> bool {
        self.crew.is_crowded()
    }

    /// Whether `worker` stands in for one that is back.
    pub(super) fn is_superfluous(&self, worker: WorkerNumber) -> bool {
        self.crew.is_superfluous(worker)
    }

    /// Takes the place of `worker` away if it is superfluous, or the pool is ending and nothing waits. False where it has to
    /// stay.
    pub(super) fn leave(&mut self, worker: WorkerNumber) -> bool {
        let leaves = self.is_superfluous(worker) || (self.stopped && self.turns.is_empty());
        if leaves {
            self.crew.leave(worker);
        }
        leaves
    }

    /// A spare could not be started.
    pub(super) fn forget_spare(&mut self, worker: WorkerNumber) {
        self.crew.leave(worker);
    }

    /// A caller has gone away: its work is dropped, or its run ended if that was for nobody else.
    pub(super) fn cancel(&mut self, lane: LaneId, id: JobId, now: Instant) -> Cancelled {
        if let Some(withdrawn) = self.lanes.get_mut(&lane).and_then(|lane| lane.queue.remove(id)) {
            self.given_up.withdrawn.push(withdrawn);
            // What is left may have been due only for this one.
            let watchdog = self.set_alarm_for(lane, None, now);
            return Cancelled { interrupt: None, watchdog };
        }
        let interrupt = self.crew.busy().find_map(|(_, _, run)| {
            run.parts.iter_mut().find(|part| part.id == id)?.over = true;
            run.terminate_if_over(now)
        });
        // Somebody has to see whether it does end.
        let watchdog = interrupt.is_some() && self.set_alarm(now + self.rules.stuck_after);
        Cancelled { interrupt, watchdog }
    }

    /// Takes nothing more; what waits is still done. Says whether it was so already.
    pub(super) fn stop(&mut self) -> bool {
        std::mem::replace(&mut self.stopped, true)
    }

    /// Gives up everything: what waits, and what runs.
    pub(super) fn abandon(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        for lane in self.lanes.values_mut() {
            self.given_up.tell(lane.queue.clear(), &mut events, |_| Failed::Stopped);
        }
        for (_, _, run) in self.crew.busy() {
            let stopped = |part: &Part| Event::Fail(Arc::clone(&part.caller), Failed::Stopped);
            events.extend(run.parts.iter().map(stopped));
            run.parts.iter_mut().for_each(|part| part.over = true);
            events.extend(run.terminate_if_over(now).map(Event::Terminate));
        }
        events
    }

    /// Threads that have not left.
    pub(super) fn threads(&self) -> usize {
        self.crew.len()
    }

    /// Tasks that workers have taken, ever.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// When the watchdog is to look next.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.alarm
    }
}

impl GivenUp {
    /// Takes in jobs that have come to nothing; their callers are to be told why.
    fn tell(&mut self, jobs: Vec<Withdrawn>, events: &mut Vec<Event>, why: impl Fn(&Job) -> Failed) {
        events.extend(jobs.iter().map(|(job, _)| Event::Fail(Arc::clone(&job.caller), why(job))));
        self.withdrawn.extend(jobs);
    }
}

impl State for Schedule {
    type GivenUp = GivenUp;

    fn given_up(&mut self) -> GivenUp {
        std::mem::take(&mut self.given_up)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("lanes", &self.lanes.len())
            .field("crew", &self.crew)
            .field("stuck", &self.stuck)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
