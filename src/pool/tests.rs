//! The pool from outside, with models that do as the test says.

use super::*;
use crate::{
    model::engine::{Interrupt, RunError, Signature},
    telemetry::RequestId,
};
use predictd_protocol::inference::tensor::Tensor;
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

type Behaviour = dyn Fn(&[Tensor], &Interrupt) -> Result<Vec<Tensor>, RunError> + Send + Sync;

/// A model of this behaviour.
struct Model(Signature, Box<Behaviour>);

impl Engine for Model {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(&self, inputs: &[Tensor], interrupt: &Interrupt) -> Result<Vec<Tensor>, RunError> {
        (self.1)(inputs, interrupt)
    }
}

fn pool(workers: usize) -> Pool {
    Pool::start(Options { workers: vec![Vec::new(); workers], ..Options::default() }).unwrap()
}

fn lane(
    pool: &Pool,
    queue: usize,
    run: impl Fn(&[Tensor], &Interrupt) -> Result<Vec<Tensor>, RunError> + Send + Sync + 'static,
) -> Lane {
    let signature = Signature { inputs: Vec::new(), outputs: Vec::new(), row_names: Vec::new() };
    let batching = Batching { has_rows: true, joins: true, max_rows: 8, max_delay: Duration::ZERO, queue };
    pool.open("test", Arc::new(Model(signature, Box::new(run))), batching)
}

fn echo(inputs: &[Tensor], _: &Interrupt) -> Result<Vec<Tensor>, RunError> {
    Ok(inputs.to_vec())
}

fn row(number: i32) -> Vec<Tensor> {
    vec![Tensor::from_numbers(vec![1, 1], vec![number]).unwrap()]
}

fn order(inputs: Inputs<String>) -> Order<String> {
    Order { request: RequestId::random(), deadline: Duration::from_secs(30), inputs }
}

fn submit(lane: &Lane, number: i32) -> Ticket<Vec<Tensor>, String> {
    lane.submit(order(Inputs::Ready(row(number))), Ok).unwrap()
}

/// A lane whose runs begin and end when the test says: what it sends is the end of one run.
fn held(pool: &Pool, queue: usize) -> (Lane, mpsc::Receiver<usize>, mpsc::SyncSender<()>) {
    let (begun, begins) = mpsc::sync_channel(64);
    let (release, released) = mpsc::sync_channel::<()>(64);
    let released = Mutex::new(released);
    let lane = lane(pool, queue, move |inputs, _| {
        begun.send(inputs[0].shape()[0]).unwrap();
        let _ = released.lock().unwrap().recv();
        Ok(inputs.to_vec())
    });
    (lane, begins, release)
}

#[tokio::test]
async fn work_gives_its_answer_and_says_where_it_was_done() {
    let pool = pool(2);
    let lane = lane(&pool, 8, echo);
    let (outputs, work) = submit(&lane, 7).await.unwrap();
    assert_eq!(outputs, row(7));
    assert!((1..=2).contains(&work.worker));
    assert_eq!(work.batch_rows, 1);
    let later = Inputs::Later(Box::new(|| Ok(row(8).into())));
    let ticket = lane.submit(order(later), |outputs| Ok(outputs.len())).unwrap();
    assert_eq!(ticket.await.unwrap().0, 1);
}

#[tokio::test]
async fn what_a_request_does_wrong_is_its_own() {
    let pool = pool(1);
    let lane = lane(&pool, 8, echo);
    let later = |prepare: fn() -> Result<Prepared, String>| Inputs::Later(Box::new(prepare));
    let ticket = lane.submit(order(later(|| Err("no".into()))), Ok).unwrap();
    assert_eq!(ticket.await.unwrap_err(), Failure::Work("no".into()));
    let ticket = lane.submit(order(later(|| panic!("on purpose"))), Ok).unwrap();
    assert_eq!(ticket.await.unwrap_err(), Failure::Panicked);
    let ticket = lane.submit(order(Inputs::Ready(row(1))), |_| Err::<(), _>("neither".into())).unwrap();
    assert_eq!(ticket.await.unwrap_err(), Failure::Work("neither".into()));
    let ticket =
        lane.submit(order(Inputs::Ready(row(1))), |_| -> Result<(), String> { panic!("on purpose") });
    assert_eq!(ticket.unwrap().await.unwrap_err(), Failure::Panicked);
    assert_eq!(submit(&lane, 3).await.unwrap().0, row(3));
}

#[tokio::test]
async fn a_chore_is_done_in_turn_and_is_no_run() {
    let pool = pool(1);
    let (lane, begins, release) = held(&pool, 2);
    let long = Duration::from_secs(30);
    let chore = |work: fn() -> Result<i32, String>| lane.chore(RequestId::random(), long, work);
    let done = chore(|| Ok(7)).unwrap().await.unwrap();
    assert_eq!((done.0, done.1.run, done.1.batch_rows), (7, Duration::ZERO, 0));
    assert_eq!(chore(|| Err("no".into())).unwrap().await.unwrap_err(), Failure::Work("no".into()));
    assert_eq!(chore(|| panic!("on purpose")).unwrap().await.unwrap_err(), Failure::Panicked);
    // The only worker is busy.
    let run = submit(&lane, 1);
    begins.recv().unwrap();
    let short = Duration::from_millis(20);
    let late = lane.chore(RequestId::random(), short, || Ok::<_, String>(()));
    assert_eq!(late.unwrap().await.unwrap_err(), Failure::Deadline(short));
    let (done, undone) = mpsc::sync_channel(1);
    let left = lane.chore(RequestId::random(), long, move || Ok::<_, String>(done.send(())));
    drop(left);
    let waits = [chore(|| Ok(1)), chore(|| Ok(2))];
    assert!(matches!(chore(|| Ok(3)), Err(Rejected::Full(2))));
    release.send(()).unwrap();
    run.await.unwrap();
    for (ticket, expected) in waits.into_iter().zip(1..) {
        assert_eq!(ticket.unwrap().await.unwrap().0, expected);
    }
    let figures = lane.statistics().figures();
    assert_eq!((figures.answered, figures.failed().count), (1, 5), "those that came to nothing are counted");
    assert_eq!(undone.try_recv(), Err(mpsc::TryRecvError::Disconnected), "nobody waited for it");
}

#[tokio::test]
async fn what_waits_together_runs_together_and_each_gets_its_rows() {
    let pool = pool(1);
    let (lane, begins, release) = held(&pool, 32);
    let first = submit(&lane, 0);
    assert_eq!(begins.recv().unwrap(), 1);
    let others: Vec<_> = (1..=10).map(|number| submit(&lane, number)).collect();
    (0..3).for_each(|_| release.send(()).unwrap());
    assert_eq!((begins.recv().unwrap(), begins.recv().unwrap()), (8, 2));
    first.await.unwrap();
    for (number, ticket) in (1..=10).zip(others) {
        let (outputs, work) = ticket.await.unwrap();
        assert_eq!(outputs, row(number));
        assert_eq!(work.batch_rows, if number <= 8 { 8 } else { 2 });
    }
}

#[tokio::test]
async fn one_bad_row_does_not_fail_its_neighbours() {
    let pool = pool(1);
    let (hold, held) = mpsc::sync_channel::<()>(0);
    let held = Mutex::new(held);
    let lane = lane(&pool, 32, move |inputs, _| {
        let numbers = inputs[0].numbers::<i32>().unwrap();
        match numbers {
            [0] => _ = held.lock().unwrap().recv(),
            [66] => panic!("on purpose"),
            _ if numbers.contains(&13) || numbers.contains(&66) => {
                return Err(RunError::Failed("a bad row".into()));
            }
            _ => {}
        }
        Ok(inputs.to_vec())
    });
    let first = submit(&lane, 0);
    while lane.waiting() > 0 {
        std::thread::yield_now();
    }
    let tickets: Vec<_> = [1, 13, 2, 66].into_iter().map(|number| submit(&lane, number)).collect();
    drop(hold);
    first.await.unwrap();
    let mut answers = Vec::new();
    for ticket in tickets {
        answers.push(ticket.await.map(|(outputs, _)| outputs));
    }
    let failed = Failure::Run("a bad row".into());
    assert_eq!(answers, [Ok(row(1)), Err(failed), Ok(row(2)), Err(Failure::Panicked)]);
}

#[tokio::test]
async fn a_full_queue_rejects_at_once() {
    let pool = pool(1);
    let (lane, begins, release) = held(&pool, 2);
    let busy = submit(&lane, 0);
    begins.recv().unwrap();
    let waiting = [submit(&lane, 1), submit(&lane, 2)];
    assert_eq!(lane.waiting(), 2);
    let rejected = lane.submit(order(Inputs::Ready(row(3))), Ok::<_, String>).unwrap_err();
    assert_eq!(rejected, Rejected::Full(2));
    (0..2).for_each(|_| release.send(()).unwrap());
    busy.await.unwrap();
    for ticket in waiting {
        ticket.await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_ticket_takes_its_work_out_of_the_queue() {
    let pool = pool(1);
    let (lane, begins, release) = held(&pool, 8);
    let busy = submit(&lane, 0);
    begins.recv().unwrap();
    drop(submit(&lane, 1));
    assert_eq!(lane.waiting(), 0);
    release.send(()).unwrap();
    busy.await.unwrap();
    drop((pool, lane));
    assert!(begins.recv().is_err(), "the second run never began");
}

#[tokio::test]
async fn a_dropped_ticket_ends_its_run() {
    let pool = pool(1);
    let (begun, begins) = mpsc::sync_channel(1);
    let (ended, ends) = mpsc::sync_channel(1);
    let lane = lane(&pool, 8, move |_, interrupt| {
        begun.send(()).unwrap();
        while !interrupt.is_terminated() {
            std::thread::yield_now();
        }
        ended.send(()).unwrap();
        Err(RunError::Terminated)
    });
    let ticket = submit(&lane, 0);
    begins.recv().unwrap();
    drop(ticket);
    ends.recv().unwrap();
}

#[tokio::test]
async fn a_deadline_is_kept_whatever_the_model_does() {
    let pool = pool(1);
    let (lane, begins, release) = held(&pool, 8);
    let within = |deadline| Order { deadline, ..order(Inputs::Ready(row(1))) };
    let (begun, time) = (Instant::now(), Duration::from_millis(100));
    let running = lane.submit(within(time), Ok).unwrap();
    begins.recv().unwrap();
    let waiting = lane.submit(within(time), Ok).unwrap();
    assert_eq!(running.await.unwrap_err(), Failure::Deadline(time));
    assert_eq!(waiting.await.unwrap_err(), Failure::Deadline(time));
    assert!(begun.elapsed() >= time && begun.elapsed() < 10 * time, "{:?}", begun.elapsed());
    release.send(()).unwrap();
}

#[tokio::test]
async fn a_body_may_ask_for_less_time_once_it_is_read() {
    let pool = pool(1);
    let (lane, begins, release) = held(&pool, 8);
    let busy = submit(&lane, 0);
    begins.recv().unwrap();
    let asked = |timeout| {
        let prepare = move || Ok(Prepared { tensors: row(1), timeout: Some(timeout) });
        lane.submit(order(Inputs::Later(Box::new(prepare))), Ok).unwrap()
    };
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(3600));
    let (waits, over, more) = (asked(short), asked(Duration::from_nanos(1)), asked(long));
    release.send(()).unwrap();
    // What waited is prepared first, and then runs together; or would, were there time.
    assert_eq!(begins.recv().unwrap(), 2, "one had no time left, and is not run");
    assert_eq!(over.await.unwrap_err(), Failure::Deadline(Duration::from_nanos(1)));
    assert_eq!(waits.await.unwrap_err(), Failure::Deadline(short));
    release.send(()).unwrap();
    assert_eq!(more.await.unwrap().0, row(1));
    busy.await.unwrap();
}

/// Each ends in another way, and is counted once, and before its caller knows.
#[tokio::test]
async fn every_request_is_counted_once_for_what_became_of_it() {
    let pool = pool(1);
    let (begun, begins) = mpsc::sync_channel(64);
    let (release, released) = mpsc::sync_channel::<()>(64);
    let released = Mutex::new(released);
    let lane = lane(&pool, 4, move |inputs, interrupt| {
        begun.send(inputs[0].shape()[0]).unwrap();
        match inputs[0].numbers::<i32>().unwrap()[0] {
            0 => _ = released.lock().unwrap().recv(),
            1 => return Err(RunError::Failed("no".into())),
            2 => panic!("on purpose"),
            3 => while !interrupt.is_terminated() {},
            _ => {}
        }
        Ok(inputs.to_vec())
    });
    let count = |reason| lane.statistics().figures().failures(reason).count;
    let later = |prepare: fn() -> Result<Prepared, String>| Inputs::Later(Box::new(prepare));
    let rows = |rows, number| vec![Tensor::from_numbers(vec![rows, 1], vec![number; rows]).unwrap()];
    let submit_rows = |rows| lane.submit(order(Inputs::Ready(rows)), Ok).unwrap();

    let held = submit(&lane, 0);
    begins.recv().unwrap();
    let together = [submit_rows(rows(1, 7)), submit_rows(rows(2, 8))];
    let dropped = submit(&lane, 9);
    assert_eq!((lane.waiting(), lane.pending()), (4, 3));
    lane.submit(order(Inputs::Ready(row(9))), Ok::<_, String>).unwrap_err();
    assert_eq!(count(Reason::Full), 1);
    drop(dropped);
    assert_eq!(count(Reason::Cancelled), 1);
    let late = Order { deadline: Duration::from_millis(20), ..order(Inputs::Ready(row(9))) };
    lane.submit(late, Ok).unwrap().await.unwrap_err();
    assert_eq!(count(Reason::Deadline), 1);
    release.send(()).unwrap();
    held.await.unwrap();
    for ticket in together {
        ticket.await.unwrap();
    }
    assert_eq!(begins.recv().unwrap(), 3);
    submit_rows(rows(20, 9)).await.unwrap();

    submit(&lane, 1).await.unwrap_err();
    assert_eq!(count(Reason::Model), 1);
    submit(&lane, 2).await.unwrap_err();
    assert_eq!(count(Reason::Panicked), 1);
    lane.submit(order(later(|| Err("no".into()))), Ok).unwrap().await.unwrap_err();
    assert_eq!(count(Reason::Input), 1);
    lane.submit(order(later(|| panic!("on purpose"))), Ok).unwrap().await.unwrap_err();
    assert_eq!(count(Reason::Panicked), 2);
    let refuse = |_| Err::<(), _>("no".to_owned());
    lane.submit(order(Inputs::Ready(row(9))), refuse).unwrap().await.unwrap_err();
    assert_eq!(count(Reason::Answer), 1);
    let gone = submit(&lane, 3);
    while lane.pending() > 0 {
        std::thread::yield_now();
    }
    drop(gone);
    assert_eq!(count(Reason::Cancelled), 2);

    let figures = lane.statistics().figures();
    assert_eq!((figures.answered, figures.rows, figures.runs), (4, 24, 3));
    let sizes: Vec<_> = figures.by_rows.iter().map(|runs| (runs.rows, runs.count)).collect();
    assert_eq!(sizes, [(1, 1), (3, 1), (20, 1)]);
    assert_eq!(figures.failed().count, 9);
    assert!(figures.run.sum() >= figures.by_rows.iter().map(|runs| runs.run).sum());
    drop(pool);
    assert_eq!(lane.statistics().figures().answered, 4, "and none is counted later");
    lane.submit(order(Inputs::Ready(row(9))), Ok::<_, String>).unwrap_err();
    assert_eq!(count(Reason::Stopped), 1);
}

#[tokio::test]
async fn another_thread_stands_in_for_a_slow_run() {
    let options = Options { slow_after: Duration::from_millis(20), ..Options::default() };
    let pool = Pool::start(options).unwrap();
    let (slow, begins, release) = held(&pool, 8);
    let busy = submit(&slow, 0);
    begins.recv().unwrap();
    let quick = lane(&pool, 8, echo);
    assert_eq!(submit(&quick, 1).await.unwrap().1.worker, 2);
    release.send(()).unwrap();
    busy.await.unwrap();
    while pool.shared.monitor.lock().threads() > 1 {
        std::thread::yield_now();
    }
    assert_eq!(submit(&quick, 1).await.unwrap().1.worker, 1);
}

#[tokio::test]
async fn a_model_that_does_not_end_is_closed_until_it_does() {
    let (slow_after, stuck_after) = (Duration::from_millis(20), Duration::from_millis(50));
    let pool = Pool::start(Options { slow_after, stuck_after, ..Options::default() }).unwrap();
    let (stuck, begins, release) = held(&pool, 8);
    drop(submit(&stuck, 0));
    // It may have been dropped before it ran.
    let busy = submit(&stuck, 0);
    begins.recv().unwrap();
    drop(busy);
    while stuck.closed().is_none() {
        std::thread::yield_now();
    }
    let rejected = stuck.submit(order(Inputs::Ready(row(3))), Ok::<_, String>).unwrap_err();
    assert!(rejected.to_string().contains("is stuck in a run of it"), "{rejected}");
    release.send(()).unwrap();
    while stuck.closed().is_some() {
        std::thread::yield_now();
    }
    release.send(()).unwrap();
    submit(&stuck, 1).await.unwrap();
}

#[tokio::test]
async fn so_many_stuck_runs_are_the_end_of_the_pool() {
    let (slow_after, stuck_after) = (Duration::from_millis(10), Duration::from_millis(20));
    let pool = Pool::start(Options { slow_after, stuck_after, max_stuck: 1, ..Options::default() }).unwrap();
    let (stuck, begins, release) = held(&pool, 8);
    let busy = submit(&stuck, 0);
    begins.recv().unwrap();
    drop(busy);
    assert_eq!(pool.broken().await, "1 runs are stuck (max_stuck = 1)");
    assert!(!pool.stop(Duration::from_millis(10)), "its thread is held");
    release.send(()).unwrap();
    assert!(pool.stop(Duration::from_secs(60)));
}

#[tokio::test]
async fn a_dropped_pool_finishes_what_is_queued() {
    let pool = pool(2);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let lane = lane(&pool, 64, move |inputs, _| {
        counted.fetch_add(inputs[0].shape()[0], Ordering::SeqCst);
        Ok(inputs.to_vec())
    });
    let tickets: Vec<_> = (0..64).map(|number| submit(&lane, number)).collect();
    drop(pool);
    assert_eq!(count.load(Ordering::SeqCst), 64);
    for ticket in tickets {
        ticket.await.unwrap();
    }
    assert_eq!(lane.submit(order(Inputs::Ready(row(0))), Ok::<_, String>).unwrap_err(), Rejected::Stopped);
}

#[tokio::test]
async fn a_lane_that_is_dropped_gives_up_what_waits() {
    let pool = pool(1);
    let (busy, begins, release) = held(&pool, 8);
    let running = submit(&busy, 0);
    begins.recv().unwrap();
    let other = lane(&pool, 8, echo);
    let waiting = submit(&other, 1);
    drop(other);
    assert_eq!(waiting.await.unwrap_err(), Failure::Stopped);
    release.send(()).unwrap();
    running.await.unwrap();
}
