//! Turns, places, and who is told what when, by a clock that the tests turn.

use super::{
    super::{
        Failure,
        job::tests::{job_for, slot},
        outcome::{Caller as _, Slot},
    },
    *,
};
use crate::{config::model::Fake as Behaviour, model::fake::Fake};
use bytes::Bytes;
use predictd_protocol::inference::tensor::Datatype;
use std::{
    sync::Weak,
    task::{Poll, Waker},
};

const MS: Duration = Duration::from_millis(1);
const DEADLINE: Duration = Duration::from_secs(1);

/// Two workers, the default times.
struct Fixture {
    schedule: Schedule,
    now: Instant,
    next: u64,
    /// Of requests to come.
    deadline: Duration,
}

type Caller = Arc<Slot<(), ()>>;

impl Fixture {
    fn new() -> Self {
        let rules = Rules { places: 2, slow_after: 250 * MS, stuck_after: 5000 * MS, max_stuck: 4 };
        Self { schedule: Schedule::new(rules), now: Instant::now(), next: 100, deadline: DEADLINE }
    }

    fn lane(&mut self, name: &str) -> LaneId {
        self.lane_that_waits(name, Duration::ZERO)
    }

    /// A lane whose requests wait so long for others to share their run.
    fn lane_that_waits(&mut self, name: &str, max_delay: Duration) -> LaneId {
        let batching = Batching { has_rows: true, joins: true, max_rows: 4, max_delay, queue: 16 };
        self.schedule.open_lane(name.into(), Arc::new(Fake::new(Behaviour::default())), batching)
    }

    fn try_submit(&mut self, lane: LaneId) -> Result<(JobId, Caller), Rejected> {
        self.submit_with(lane, Some(row())).map(|(id, caller, _)| (id, caller))
    }

    fn submit_with(
        &mut self,
        lane: LaneId,
        inputs: Option<Vec<Tensor>>,
    ) -> Result<(JobId, Caller, Wanted), Rejected> {
        self.next += 1;
        let slot = slot(self.now);
        let job = job_for(self.next, self.now, self.now + self.deadline, &slot);
        let id = job.id;
        let wanted = self.schedule.submit(lane, job, inputs, self.now)?;
        Ok((id, slot, wanted))
    }

    /// Has a worker make tensors; gives the job, and whether the watchdog is to look earlier.
    fn prepare(&mut self, worker: WorkerNumber) -> (Job, bool) {
        let Assignment { task, watchdog, .. } = self.schedule.take(worker, 1, self.now).unwrap();
        let Task::Prepare(job) = task else { panic!("a run, and no tensors to make") };
        (job, watchdog)
    }

    fn submit(&mut self, lane: LaneId) -> (JobId, Caller) {
        self.try_submit(lane).unwrap()
    }

    /// Has a worker take something; says of which lane, and how much.
    fn take(&mut self, worker: WorkerNumber) -> Option<(String, usize)> {
        let assignment = self.schedule.take(worker, 1, self.now)?;
        let Task::Run(batch) = assignment.task else { panic!("nothing is to be prepared here") };
        Some((assignment.lane.to_string(), batch.len()))
    }

    /// Turns the clock, does what the watchdog would, and says what that was.
    fn pass(&mut self, time: Duration) -> Vec<&'static str> {
        self.now += time;
        let events = self.schedule.tick(self.now);
        let names = events.into_iter().map(|event| match event {
            Event::Fail(caller, why) => {
                caller.fail(why);
                "fail"
            }
            Event::Terminate(interrupt) => {
                interrupt.terminate();
                "terminate"
            }
            Event::Slow(_) => "slow",
            Event::Stuck(_) => "stuck",
            Event::Fatal(_) => "fatal",
            Event::Spare(_) => "spare",
            Event::Full(..) => "full",
            Event::Eased(..) => "eased",
        });
        names.collect()
    }
}

fn row() -> Vec<Tensor> {
    vec![Tensor::from_numbers(vec![1, 1], vec![0f32]).unwrap()]
}

fn answer(caller: &Caller) -> Option<Failure<()>> {
    match caller.poll(&std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(failure)) => Some(failure),
        _ => None,
    }
}

#[test]
fn models_take_turns() {
    let mut f = Fixture::new();
    let (a, b) = (f.lane("a"), f.lane("b"));
    for _ in 0..8 {
        f.submit(a);
    }
    f.submit(b);
    let taken: Vec<_> = (0..3)
        .map(|_| {
            let taken = f.take(1).unwrap();
            f.schedule.end(1, f.now);
            taken
        })
        .collect();
    assert_eq!(taken, [("a".into(), 4), ("b".into(), 1), ("a".into(), 4)]);
    assert_eq!(f.take(1), None);
}

#[test]
fn a_model_has_as_many_runs_as_there_are_workers_slow_ones_included() {
    let mut f = Fixture::new();
    let a = f.lane("a");
    let b = f.lane("b");
    f.submit(a);
    f.take(1).unwrap();
    f.submit(a);
    f.take(2).unwrap();
    assert_eq!(f.pass(250 * MS), ["slow", "slow", "spare", "spare"]);
    f.submit(a);
    f.submit(b);
    assert_eq!(f.take(3), Some(("b".into(), 1)), "the spare serves others");
    assert_eq!(f.take(4), None);
    f.schedule.end(1, f.now);
    assert_eq!(f.take(4), Some(("a".into(), 1)));
}

#[test]
fn a_spare_leaves_when_the_slow_one_is_back() {
    let mut f = Fixture::new();
    let a = f.lane("a");
    f.submit(a);
    f.take(1).unwrap();
    assert_eq!(f.pass(251 * MS), ["slow", "spare"]);
    assert!(!f.schedule.leave(3));
    let ended = f.schedule.end(1, f.now);
    assert_eq!((ended.slow, ended.took), (true, 251 * MS));
    assert!(f.schedule.is_crowded());
    assert!(!f.schedule.leave(1), "a worker stays");
    assert!(f.schedule.leave(3));
    assert!(!f.schedule.is_crowded());
    assert_eq!(f.schedule.threads(), 2);
}

#[test]
fn a_slow_spare_has_its_own_spare() {
    let mut f = Fixture::new();
    let (a, b) = (f.lane("a"), f.lane("b"));
    f.submit(a);
    f.take(1).unwrap();
    assert_eq!(f.pass(300 * MS), ["slow", "spare"]);
    f.submit(b);
    f.take(3).unwrap();
    assert_eq!(f.pass(300 * MS), ["slow", "spare"]);
    f.schedule.end(3, f.now);
    assert!(f.schedule.leave(3));
    f.schedule.end(1, f.now);
    assert!(f.schedule.leave(4));
    assert_eq!(f.schedule.threads(), 2);
}

#[test]
fn at_its_deadline_a_caller_is_answered_and_a_run_for_nobody_terminated() {
    let mut f = Fixture::new();
    let a = f.lane("a");
    let (_, first) = f.submit(a);
    f.now += 10 * MS;
    let (_, second) = f.submit(a);
    assert_eq!(f.take(1), Some(("a".into(), 2)));
    let (_, waiting) = f.submit(a);
    assert!(f.schedule.alarm().is_some_and(|alarm| alarm <= f.now + DEADLINE));
    f.pass(500 * MS);
    assert_eq!(f.pass(490 * MS), ["fail"]);
    assert_eq!(answer(&first), Some(Failure::Deadline(DEADLINE)));
    assert!(second.is_open(), "a neighbour's time does not end its own");
    assert_eq!(f.pass(10 * MS), ["fail", "fail", "terminate"]);
    assert_eq!(
        (answer(&second), answer(&waiting)),
        (Some(Failure::Deadline(DEADLINE)), Some(Failure::Deadline(DEADLINE)))
    );
    assert_eq!(f.schedule.waiting(a), 0);
}

#[test]
fn the_last_caller_to_go_ends_the_run() {
    let mut f = Fixture::new();
    let a = f.lane("a");
    let ((one, _), (two, _)) = (f.submit(a), f.submit(a));
    assert_eq!(f.take(1), Some(("a".into(), 2)));
    let (three, _) = f.submit(a);
    let now = f.now;
    f.schedule.cancel(a, three, now);
    assert_eq!((f.schedule.waiting(a), f.schedule.given_up().withdrawn.len()), (0, 1));
    assert!(f.schedule.cancel(a, one, now).interrupt.is_none());
    assert!(f.schedule.cancel(a, two, now).interrupt.is_some());
    assert!(f.schedule.cancel(a, two, now).interrupt.is_none(), "once is enough");
}

#[test]
fn a_stuck_run_closes_its_model_until_it_ends() {
    let mut f = Fixture::new();
    let (a, b) = (f.lane("a"), f.lane("b"));
    f.submit(a);
    f.take(1).unwrap();
    assert_eq!(f.pass(DEADLINE), ["fail", "terminate", "slow", "spare"]);
    let (_, waiting) = f.submit(a);
    assert_eq!(f.pass(4999 * MS), ["fail"]);
    assert_eq!(answer(&waiting), Some(Failure::Deadline(DEADLINE)));
    let (_, waiting) = f.submit(a);
    assert_eq!(f.pass(1 * MS), ["fail", "stuck"]);
    assert!(matches!(answer(&waiting), Some(Failure::Closed(why)) if why.contains("worker 1 is stuck")));
    assert!(matches!(f.try_submit(a), Err(Rejected::Closed(_))));
    assert!(f.schedule.closed(a).is_some());
    f.submit(b);
    assert_eq!(f.take(2), Some(("b".into(), 1)), "others are served");
    let ended = f.schedule.end(1, f.now);
    assert_eq!(ended.stuck, Some(Unstuck::Open));
    f.submit(a);
}

#[test]
fn too_many_stuck_runs_are_the_end() {
    let mut f = Fixture::new();
    let lanes = [f.lane("a"), f.lane("b")];
    let mut worker = 0;
    for lane in lanes {
        for _ in 0..2 {
            worker += 1;
            f.submit(lane);
            f.take(worker).unwrap();
        }
        f.pass(DEADLINE);
    }
    let events = f.pass(5000 * MS);
    assert_eq!(events.iter().filter(|event| **event == "stuck").count(), 4);
    assert_eq!(events.last(), Some(&"fatal"));
}

#[test]
fn a_watchdog_with_nothing_to_watch_sleeps() {
    let mut f = Fixture::new();
    let a = f.lane("a");
    assert_eq!(f.schedule.alarm(), None);
    f.submit(a);
    f.take(1).unwrap();
    assert_eq!(f.schedule.alarm(), Some(f.now + 250 * MS));
    f.schedule.end(1, f.now);
    f.pass(250 * MS);
    assert_eq!(
        f.schedule.alarm(),
        Some(f.now + 250 * MS),
        "a lap more, so that a next request need not wake it"
    );
    f.pass(250 * MS);
    assert_eq!(f.schedule.alarm(), None);
}

#[test]
fn what_waits_for_others_is_looked_at_when_it_has_waited_enough() {
    let mut f = Fixture::new();
    let a = f.lane_that_waits("a", 5 * MS);
    // Its tensors are there from the beginning,
    assert!(f.submit_with(a, Some(row())).unwrap().2.watchdog);
    assert_eq!(f.schedule.alarm(), Some(f.now + 5 * MS));
    f.pass(5 * MS);
    assert_eq!(f.take(1), Some(("a".into(), 1)));
    f.schedule.end(1, f.now);
    f.pass(Duration::ZERO);
    // or made by a worker,
    f.submit_with(a, None).unwrap();
    let (job, _) = f.prepare(1);
    f.now += 20 * MS;
    assert!(matches!(f.schedule.requeue(1, job, row(), f.now), Ok(true)));
    f.schedule.end(1, f.now);
    assert_eq!((f.schedule.alarm(), f.take(1)), (Some(f.now + 5 * MS), None));
    // or left behind by one that takes what has none yet,
    f.now += MS;
    f.submit_with(a, None).unwrap();
    f.pass(Duration::ZERO);
    let (_job, sooner) = f.prepare(1);
    assert!(sooner);
    assert_eq!(f.schedule.alarm(), Some(f.now + 4 * MS));
    f.schedule.end(1, f.now);
    // or by such a one whose client goes away.
    let (id, ..) = f.submit_with(a, None).unwrap();
    f.pass(Duration::ZERO);
    assert!(f.schedule.alarm() > Some(f.now + 4 * MS));
    assert!(f.schedule.cancel(a, id, f.now).watchdog);
    assert_eq!(f.schedule.alarm(), Some(f.now + 4 * MS));
    f.pass(4 * MS);
    assert_eq!(f.take(1), Some(("a".into(), 1)));
}

/// A row, and whether it is still there.
fn watched() -> (Vec<Tensor>, Weak<[u8; 4]>) {
    struct Row(Arc<[u8; 4]>);

    impl AsRef<[u8]> for Row {
        fn as_ref(&self) -> &[u8] {
            &*self.0
        }
    }

    let row = Arc::new([0; 4]);
    let watch = Arc::downgrade(&row);
    let bytes = Bytes::from_owner(Row(row));
    (vec![Tensor::from_bytes(Datatype::Fp32, vec![1, 1], bytes).unwrap()], watch)
}

#[test]
fn what_comes_to_nothing_is_dropped_only_with_the_lock_released() {
    type End = fn(&mut Fixture, LaneId, Vec<Tensor>);
    let ends: [(&str, End); 7] = [
        ("rejected", |f, lane, row| {
            (0..16).for_each(|_| _ = f.submit(lane));
            assert!(matches!(f.submit_with(lane, Some(row)), Err(Rejected::Full(16))));
        }),
        ("cancelled", |f, lane, row| {
            let (id, ..) = f.submit_with(lane, Some(row)).unwrap();
            f.schedule.cancel(lane, id, f.now);
        }),
        ("late", |f, lane, row| {
            f.submit_with(lane, Some(row)).unwrap();
            assert_eq!(f.pass(DEADLINE), ["fail"]);
        }),
        ("of a model that is closed", |f, lane, row| {
            f.submit(lane);
            f.take(1).unwrap();
            f.pass(DEADLINE);
            f.pass(4999 * MS);
            f.submit_with(lane, Some(row)).unwrap();
            assert_eq!(f.pass(MS), ["fail", "stuck"]);
        }),
        ("of a model that is gone", |f, lane, row| {
            f.submit_with(lane, Some(row)).unwrap();
            assert_eq!(f.schedule.close_lane(lane).len(), 1);
        }),
        ("prepared for a model that is gone", |f, lane, row| {
            f.submit_with(lane, None).unwrap();
            let (job, _) = f.prepare(1);
            f.schedule.close_lane(lane);
            assert!(matches!(f.schedule.requeue(1, job, row, f.now), Err((_, Failed::Stopped))));
        }),
        ("abandoned", |f, lane, row| {
            f.submit_with(lane, Some(row)).unwrap();
            assert_eq!(f.schedule.abandon(f.now).len(), 1);
        }),
    ];
    for (what, end) in ends {
        let mut f = Fixture::new();
        let lane = f.lane("a");
        let (row, watch) = watched();
        end(&mut f, lane, row);
        assert!(watch.upgrade().is_some(), "{what}");
        drop(f.schedule.given_up());
        assert!(watch.upgrade().is_none(), "{what}");
    }
    // And the model itself.
    let mut f = Fixture::new();
    let lane = f.lane("a");
    let watch = Arc::downgrade(&f.schedule.lanes[&lane].engine);
    f.schedule.close_lane(lane);
    assert!(watch.upgrade().is_some());
    drop(f.schedule.given_up());
    assert!(watch.upgrade().is_none());
}

#[test]
fn a_model_that_is_gone_leaves_its_run_behind() {
    let mut f = Fixture::new();
    let a = f.lane("a");
    f.submit(a);
    f.take(1).unwrap();
    f.submit(a);
    assert_eq!(f.schedule.close_lane(a).len(), 1);
    f.pass(DEADLINE);
    assert_eq!(f.pass(5000 * MS), ["stuck"]);
    assert_eq!(f.schedule.end(1, f.now).stuck, Some(Unstuck::Gone));
    assert_eq!(f.take(2), None);
}

#[test]
fn a_full_queue_is_one_thing_from_when_it_is_first_full_until_it_has_room_for_a_while() {
    let mut f = Fixture::new();
    let a = f.lane("a");
    f.deadline = 60 * DEADLINE;
    let fill = |f: &mut Fixture| while f.try_submit(a).is_ok() {};
    fill(&mut f);
    assert!(f.schedule.has_news());
    assert_eq!((f.pass(Duration::ZERO), f.schedule.has_news()), (vec!["full"], false));
    for _ in 0..5 {
        f.take(1).unwrap();
        f.schedule.end(1, f.now);
        fill(&mut f);
        assert!(!f.schedule.has_news() && f.pass(150 * MS).is_empty());
    }
    assert_eq!(f.schedule.standing().full[0].1.count, 6);
    // Nothing is refused any more, but it is still more than half full.
    f.take(1).unwrap();
    f.schedule.end(1, f.now);
    assert_eq!((f.pass(900 * MS), f.pass(900 * MS)), (vec![], vec![]));
    let alarm = f.schedule.alarm().expect("somebody has to look whether it eases");
    assert!(alarm <= f.now + 250 * MS);
    while f.take(1).is_some() {
        f.schedule.end(1, f.now);
    }
    assert_eq!(f.pass(250 * MS), ["eased"]);
    assert!(f.schedule.standing().full.is_empty());
    assert_eq!(f.schedule.standing().rejected.full, 6);
}

#[test]
fn what_each_thread_is_at_and_has_done_is_known() {
    let mut f = Fixture::new();
    let a = f.lane("a/1");
    f.submit(a);
    f.submit(a);
    f.take(1).unwrap();
    f.submit(a);
    let standing = f.schedule.standing();
    let task = standing.workers[0].task.clone().unwrap();
    assert_eq!((&*task.model, task.rows, task.requests.len(), task.slow), ("a/1", 2, 2, false));
    assert!(standing.workers[1].task.is_none());
    let expected = Waiting { rows: 1, requests: 1, running: 1, begun: 2 };
    assert_eq!(standing.queues[&a], expected);
    assert_eq!(f.pass(250 * MS), ["slow", "spare"]);
    f.schedule.count(3, Done { runs: 7, busy: MS, ..Done::default() });
    f.schedule.count(1, Done { runs: 1, rows: 2, busy: 250 * MS, ..Done::default() });
    let standing = f.schedule.standing();
    assert!(standing.workers[0].task.as_ref().is_some_and(|task| task.slow));
    assert!(standing.workers[2].spare && standing.workers[2].done.runs == 7);
    f.schedule.end(1, f.now);
    assert!(f.schedule.leave(3));
    let standing = f.schedule.standing();
    assert_eq!((standing.workers.len(), standing.former.runs, standing.workers[0].done.rows), (2, 7, 2));
}
