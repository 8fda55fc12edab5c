//! What a worker takes, by a clock that stands still.

use super::{super::job::tests::job, *};

const MS: Duration = Duration::from_millis(1);

fn batching() -> Batching {
    Batching { has_rows: true, joins: true, max_rows: 8, max_delay: Duration::ZERO, queue: 16 }
}

fn tensor(rows: usize, width: usize) -> Vec<Tensor> {
    vec![Tensor::from_numbers(vec![rows, width], vec![0f32; rows * width]).unwrap()]
}

/// A queue of requests of so many rows, each of one number.
fn queue(batching: Batching, rows: &[usize], now: Instant) -> Queue {
    let mut queue = Queue::new(batching);
    for (id, rows) in rows.iter().enumerate() {
        queue.push_ready(job(id as u64, now), tensor(*rows, 1), now);
    }
    queue
}

fn rows(task: Option<Task>) -> Vec<usize> {
    match task {
        Some(Task::Run(batch)) => batch.iter().map(|ready| ready.job.rows).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_worker_takes_its_share_and_no_more_than_a_batch() {
    let now = Instant::now();
    for (waiting, idle, expected) in [
        (&[1, 1, 1, 1][..], 1, &[1, 1, 1, 1][..]),
        (&[1, 1, 1, 1], 2, &[1, 1]),
        (&[1, 1, 1], 2, &[1, 1]),
        (&[1, 1, 1], 4, &[1]),
        (&[1; 12], 1, &[1; 8]),
        // A request is not divided: one over the share goes alone, one that would go over it waits.
        (&[5, 1], 2, &[5]),
        (&[3, 4, 2], 1, &[3, 4]),
        (&[3, 6, 2], 1, &[3, 2]),
        (&[20], 4, &[20]),
    ] {
        assert_eq!(rows(queue(batching(), waiting, now).take(now, idle)), expected, "{waiting:?} {idle}");
    }
}

#[test]
fn only_like_requests_are_joined() {
    let now = Instant::now();
    let mut queue = queue(batching(), &[1], now);
    queue.push_ready(job(1, now), tensor(1, 2), now);
    queue.push_ready(job(2, now), tensor(1, 1), now);
    assert_eq!(rows(queue.take(now, 1)), [1, 1]);
    assert_eq!(rows(queue.take(now, 1)), [1]);
    assert!(queue.take(now, 1).is_none());
    assert_eq!(queue.rows(), 0);
}

#[test]
fn a_model_that_cannot_batch_runs_one_by_one() {
    let now = Instant::now();
    let mut queue = queue(Batching { joins: false, ..batching() }, &[1, 1], now);
    assert_eq!(rows(queue.take(now, 1)), [1]);
    assert_eq!(rows(queue.take(now, 1)), [1]);
}

#[test]
fn the_bound_is_in_rows_and_a_large_request_is_taken_alone() {
    let now = Instant::now();
    let full = queue(batching(), &[10, 6], now);
    assert_eq!(full.room_for(1), Err(Full { waiting: 16 }));
    assert_eq!(queue(batching(), &[10], now).room_for(6), Ok(()));
    assert_eq!(queue(batching(), &[], now).room_for(1000), Ok(()));
    assert_eq!(queue(batching(), &[1], now).room_for(1000), Err(Full { waiting: 1 }));
}

#[test]
fn where_a_first_dimension_counts_no_rows_a_request_is_one() {
    let now = Instant::now();
    let whole = Batching { has_rows: false, joins: false, ..batching() };
    let queue = queue(whole, &[224, 224], now);
    assert_eq!((queue.rows(), queue.requests()), (2, 2));
    assert_eq!(queue.room_for(14), Ok(()));
}

#[test]
fn tensors_are_made_until_there_is_a_batch() {
    let now = Instant::now();
    let mut queue = queue(Batching { max_rows: 2, ..batching() }, &[1], now);
    queue.push(job(1, now));
    queue.push(job(2, now));
    let Some(Task::Prepare(first)) = queue.take(now, 1) else { panic!("nothing to prepare") };
    assert_eq!(first.id, JobId(1));
    queue.push_ready(first, tensor(1, 1), now);
    assert_eq!(rows(queue.take(now, 1)), [1, 1]);
    assert!(matches!(queue.take(now, 1), Some(Task::Prepare(_))));
    assert_eq!(queue.rows(), 0);
}

#[test]
fn max_delay_waits_for_more_but_not_for_longer() {
    let now = Instant::now();
    let slow = Batching { max_delay: 5 * MS, max_rows: 3, ..batching() };
    let mut queue = queue(slow, &[1], now);
    assert_eq!(queue.due(now), Due::At(now + 5 * MS));
    assert!(queue.take(now + 4 * MS, 1).is_none());
    queue.push_ready(job(1, now), tensor(2, 1), now + 4 * MS);
    assert_eq!(queue.due(now + 4 * MS), Due::Now, "a full batch does not wait");
    assert_eq!(rows(queue.take(now + 4 * MS, 1)), [1, 2]);
    queue.push_ready(job(2, now), tensor(1, 1), now);
    assert_eq!(rows(queue.take(now + 5 * MS, 1)), [1]);
    assert_eq!(queue.due(now), Due::Never);
}

#[test]
fn what_is_late_or_cancelled_goes() {
    let now = Instant::now();
    let mut queue = queue(batching(), &[2, 3], now);
    queue.push(job(7, now));
    assert_eq!(queue.deadline(), Some(now));
    assert!(queue.remove(JobId(1)).is_some());
    assert!(queue.remove(JobId(1)).is_none());
    assert_eq!(queue.rows(), 3);
    assert!(queue.remove_expired(now - MS).is_empty());
    assert_eq!(queue.remove_expired(now).len(), 2);
    assert_eq!((queue.rows(), queue.due(now)), (0, Due::Never));
}

#[test]
fn whoever_can_still_be_answered_in_time_goes_first() {
    let now = Instant::now();
    let mut queue = Queue::new(Batching { joins: false, ..batching() });
    for (id, left) in [(0, 3 * MS), (1, 20 * MS), (2, 30 * MS)] {
        queue.push_ready(job(id, now + left), tensor(1, 1), now);
    }
    (0..64).for_each(|_| queue.ran(10 * MS));
    let id = |queue: &mut Queue| match queue.take(now, 1) {
        Some(Task::Run(batch)) => batch[0].job.id.0,
        other => panic!("{other:?}"),
    };
    assert_eq!([id(&mut queue), id(&mut queue)], [1, 2]);
    assert_eq!(id(&mut queue), 0, "nobody else is there, and the estimate may be wrong");
}
