//! The pool from outside.

use super::*;
use std::sync::{
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc,
};

fn pool(workers: usize, queue: usize) -> Pool {
    Pool::start(&Options { workers: vec![Vec::new(); workers], queue }).unwrap()
}

/// Keeps a worker busy until the sender is dropped; returns once it is.
fn occupy(pool: &Pool) -> (mpsc::SyncSender<()>, Ticket<()>) {
    let (begun, wait) = mpsc::sync_channel(0);
    let (hold, release) = mpsc::sync_channel::<()>(0);
    let ticket = pool
        .submit(move |_| {
            begun.send(()).unwrap();
            let _ = release.recv();
        })
        .unwrap();
    wait.recv().unwrap();
    (hold, ticket)
}

#[tokio::test]
async fn work_gives_its_result_and_says_where_it_was_done() {
    let pool = pool(2, 8);
    let (result, work) = pool.submit(|_| 6 * 7).unwrap().await.unwrap();
    assert_eq!(result, 42);
    assert!((1..=2).contains(&work.worker));
}

#[tokio::test]
async fn a_panic_hurts_nobody_else() {
    let pool = pool(1, 8);
    assert_eq!(pool.submit(|_| panic!("on purpose")).unwrap().await.map(|((), _)| ()), Err(Panicked));
    assert_eq!(pool.submit(|_| 1).unwrap().await.unwrap().0, 1);
}

#[tokio::test]
async fn a_full_queue_rejects_at_once() {
    let pool = pool(1, 2);
    let (hold, busy) = occupy(&pool);
    let waiting = [pool.submit(|_| ()).unwrap(), pool.submit(|_| ()).unwrap()];
    assert_eq!(pool.queued(), 2);
    assert_eq!(pool.submit(|_| ()).unwrap_err(), Rejected::Full);
    drop(hold);
    busy.await.unwrap();
    for ticket in waiting {
        ticket.await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_ticket_takes_its_work_out_of_the_queue() {
    let pool = pool(1, 8);
    let (hold, busy) = occupy(&pool);
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    drop(pool.submit(move |_| flag.store(true, Ordering::SeqCst)).unwrap());
    drop(hold);
    busy.await.unwrap();
    drop(pool);
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_dropped_ticket_interrupts_its_run() {
    let pool = pool(1, 8);
    let (begun, wait) = mpsc::sync_channel(0);
    let (ended, end) = mpsc::sync_channel(0);
    let ticket = pool
        .submit(move |interrupt| {
            begun.send(()).unwrap();
            while !interrupt.is_terminated() {
                std::thread::yield_now();
            }
            ended.send(()).unwrap();
        })
        .unwrap();
    wait.recv().unwrap();
    drop(ticket);
    end.recv().unwrap();
}

#[tokio::test]
async fn a_dropped_pool_finishes_what_is_queued() {
    let pool = pool(2, 64);
    let count = Arc::new(AtomicUsize::new(0));
    let tickets: Vec<_> = (0..64)
        .map(|_| {
            let count = Arc::clone(&count);
            pool.submit(move |_| count.fetch_add(1, Ordering::SeqCst)).unwrap()
        })
        .collect();
    drop(pool);
    assert_eq!(count.load(Ordering::SeqCst), 64);
    for ticket in tickets {
        ticket.await.unwrap();
    }
}
