//! The pool's races in every order that there is: the very files of `src/pool`, with loom's locks in place of the system's.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "tests; and not every method of the files has a race to lose"
)]

#[path = "../../src/pool/monitor.rs"]
mod monitor;
#[path = "../../src/pool/ticket.rs"]
mod ticket;

/// What `src/pool/sync.rs` has, by loom.
mod sync {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
}

use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use monitor::{Monitor, State};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use ticket::Cell;

/// Items, and whether there will be more: what a schedule is to a worker that waits.
#[derive(Default)]
struct Items {
    waiting: usize,
    stopped: bool,
    given_up: Vec<Item>,
}

/// What takes the lock when it is dropped.
struct Item(Arc<Monitor<Items>>);

impl Drop for Item {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl State for Items {
    type GivenUp = Vec<Item>;

    fn given_up(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.given_up)
    }
}

/// As a worker of the pool takes tasks until there are no more.
fn work(monitor: &Monitor<Items>, done: &AtomicUsize) {
    let mut items = monitor.lock();
    loop {
        if items.waiting > 0 {
            items.waiting -= 1;
            if items.waiting > 0 {
                items.wake();
            }
            drop(items);
            done.fetch_add(1, Ordering::Relaxed);
            items = monitor.lock();
        } else if items.stopped {
            items.wake_all();
            return;
        } else {
            items = items.wait();
        }
    }
}

/// Loom itself finds a worker that sleeps for ever: a deadlock.
///
/// Where there are more than two threads only orders with a few preemptions are tried: all would take hours, and those find
/// nearly every bug (Musuvathi and Qadeer, "Iterative context bounding").
fn check_workers(workers: usize, pushes: usize, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let (monitor, done) = (Arc::new(Monitor::new(Items::default())), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let (monitor, done) = (Arc::clone(&monitor), Arc::clone(&done));
                thread::spawn(move || work(&monitor, &done))
            })
            .collect();
        for _ in 0..pushes {
            let mut items = monitor.lock();
            items.waiting += 1;
            items.wake();
        }
        let mut items = monitor.lock();
        items.stopped = true;
        items.wake_all();
        drop(items);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(done.load(Ordering::Relaxed), pushes);
    });
}

#[test]
fn no_wake_up_is_lost_with_one_worker() {
    check_workers(1, 2, None);
}

#[test]
fn no_wake_up_is_lost_with_two_workers() {
    check_workers(2, 2, Some(2));
}

/// Loom finds a lock that is taken by who has it: what is given up is dropped by then.
#[test]
fn what_is_given_up_is_dropped_with_the_lock_released() {
    loom::model(|| {
        let monitor = Arc::new(Monitor::new(Items { waiting: 2, ..Items::default() }));
        let give_up = |monitor: &Arc<Monitor<Items>>| {
            let item = Item(Arc::clone(monitor));
            monitor.lock().given_up.push(item);
        };
        let other = {
            let monitor = Arc::clone(&monitor);
            thread::spawn(move || give_up(&monitor))
        };
        give_up(&monitor);
        other.join().unwrap();
        assert_eq!(monitor.lock().waiting, 0);
    });
}

/// The ticket's side.
struct Wait(Arc<Cell<u32>>);

impl Future for Wait {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        self.0.poll(cx)
    }
}

#[test]
fn the_worker_or_the_watchdog_answers_and_the_caller_wakes() {
    loom::model(|| {
        let cell = Arc::new(Cell::new());
        // Not one of loom's: it adds no order to what the cell has to keep.
        let counted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let set = |result: u32| {
            let (cell, counted) = (Arc::clone(&cell), counted.clone());
            thread::spawn(move || cell.set(result, || _ = counted.fetch_add(1, Ordering::Relaxed)))
        };
        let (worker, watchdog) = (set(1), set(2));
        let answer = loom::future::block_on(Wait(Arc::clone(&cell)));
        assert_eq!(counted.load(Ordering::Relaxed), 1, "an answer is counted before it is seen");
        let (by_worker, by_watchdog) = (worker.join().unwrap(), watchdog.join().unwrap());
        assert!(by_worker != by_watchdog, "one result, no more and no fewer");
        assert_eq!(counted.load(Ordering::Relaxed), 1);
        assert_eq!(answer, if by_worker { 1 } else { 2 });
    });
}

#[test]
fn a_caller_that_gives_up_and_an_answer_see_each_other() {
    loom::model(|| {
        let cell = Arc::new(Cell::new());
        let worker = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.set(1, || ()))
        };
        let unanswered = cell.give_up();
        assert_eq!(worker.join().unwrap(), !unanswered, "either it was answered, or somebody must cancel");
        assert!(!cell.is_open());
    });
}
