//! The places for connections: so many at once, and how long until all are free.

use crate::telemetry::snapshot;
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The places for connections, shared by all listeners of a server.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Places>);

#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    max: AtomicU32,
    /// Places over `max` that are taken still, and given up when they are left.
    surplus: AtomicU32,
    accepted: AtomicU64,
    refused: AtomicU64,
    arrival: Notify,
    /// How often a listener had to wait for a place.
    waits: AtomicU64,
    /// How many do.
    waiting: AtomicU32,
    /// How often one that came could not be accepted, and why.
    failures: AtomicU64,
    failure: Mutex<String>,
}

/// A listener that waits for a place.
struct Waiting<'a>(&'a Places);

impl<'a> Waiting<'a> {
    fn begin(places: &'a Places) -> Self {
        places.waits.fetch_add(1, Ordering::Relaxed);
        places.waiting.fetch_add(1, Ordering::Relaxed);
        Self(places)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection's.
#[derive(Debug)]
pub(super) struct Place {
    /// Always there until it is dropped.
    permit: Option<OwnedSemaphorePermit>,
    of: Arc<Places>,
}

impl Connections {
    /// Places for `max` connections at once.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self(Arc::new(Places {
            free: Arc::new(Semaphore::new(max as usize)),
            max: AtomicU32::new(max),
            surplus: AtomicU32::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            arrival: Notify::new(),
            waits: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            failures: AtomicU64::new(0),
            failure: Mutex::default(),
        }))
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        let all = self.max() + self.0.surplus.load(Ordering::Relaxed);
        (all as usize).saturating_sub(self.0.free.available_permits())
    }

    /// The state of things, in numbers.
    #[must_use]
    pub fn look(&self) -> snapshot::Connections {
        snapshot::Connections {
            open: self.open() as u64,
            limit: self.max().into(),
            accepted: self.0.accepted.load(Ordering::Relaxed),
            refused: self.0.refused.load(Ordering::Relaxed),
        }
    }

    /// One more has come.
    pub(super) fn accepted(&self) {
        self.0.accepted.fetch_add(1, Ordering::Relaxed);
        self.0.arrival.notify_one();
    }

    /// Its peer may not be here.
    pub(super) fn refused(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Places for `max` from now on. Connections over that are not closed, but no others take their places. To be called by
    /// one thread at a time.
    pub fn resize(&self, max: u32) {
        let Places { free, surplus, .. } = &*self.0;
        let before = self.0.max.swap(max, Ordering::Relaxed);
        if let Some(fewer) = before.checked_sub(max) {
            let forgotten = free.forget_permits(fewer as usize) as u32;
            surplus.fetch_add(fewer - forgotten, Ordering::Relaxed);
        } else {
            let more = (before..max).skip_while(|_| self.0.keep_one()).count();
            free.add_permits(more);
        }
    }

    /// Waits until no connection is open.
    pub async fn closed(&self) {
        let _ = self.0.free.acquire_many(self.max()).await;
    }

    /// Waits for a place.
    pub(super) async fn place(&self) -> Place {
        let free = || Arc::clone(&self.0.free);
        let permit = match free().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = Waiting::begin(&self.0);
                free().acquire_owned().await.expect("the places are never closed")
            }
        };
        Place { permit: Some(permit), of: Arc::clone(&self.0) }
    }

    /// One that came could not be accepted.
    pub(super) fn failed(&self, error: &io::Error) {
        *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        self.0.failures.fetch_add(1, Ordering::Relaxed);
        self.0.arrival.notify_one();
    }

    /// How often that was, and why the last time.
    pub(super) fn failures(&self) -> (u64, String) {
        let why = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.0.failures.load(Ordering::Relaxed), why)
    }

    /// Waits until a connection has come since this was asked last.
    pub(super) async fn arrival(&self) {
        self.0.arrival.notified().await;
    }

    /// How many there may be.
    pub(super) fn limit(&self) -> u64 {
        self.max().into()
    }

    /// How often somebody had to wait for a place.
    pub(super) fn waits(&self) -> u64 {
        self.0.waits.load(Ordering::Relaxed)
    }

    /// Whether somebody does.
    pub(super) fn is_waited_for(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }

    fn max(&self) -> u32 {
        self.0.max.load(Ordering::Relaxed)
    }
}

impl Places {
    /// Makes one fewer surplus, if there is any.
    fn keep_one(&self) -> bool {
        let one_fewer = |surplus: u32| surplus.checked_sub(1);
        self.surplus.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_fewer).is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.of.keep_one()
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_become_more_or_fewer_while_they_are_taken() {
        let connections = Connections::new(4);
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(connections.place().await);
        }
        connections.resize(2);
        assert_eq!(connections.open(), 4);
        let free = |connections: &Connections| connections.0.free.available_permits();
        places.pop();
        assert_eq!((connections.open(), free(&connections)), (3, 0), "over the bound, nobody gets in");
        connections.resize(5);
        assert_eq!((connections.open(), free(&connections)), (3, 2));
        connections.resize(2);
        places.truncate(1);
        assert_eq!((connections.open(), free(&connections)), (1, 1));
        places.clear();
        connections.closed().await;
        assert_eq!(connections.open(), 0);
    }
}
