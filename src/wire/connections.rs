//! The places for connections: so many at once, and how long until all are free.

use crate::{os::socket::Address, telemetry::snapshot};
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

    /// Waits for a place, and says in the log that it has to.
    pub(super) async fn place(&self, address: &Address) -> Place {
        let free = || Arc::clone(&self.0.free);
        let permit = match free().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let max = self.max();
                tracing::warn!(
                    listen = %address,
                    "all {max} connections are in use; others wait (limits.connections)"
                );
                free().acquire_owned().await.expect("the places are never closed")
            }
        };
        Place { permit: Some(permit), of: Arc::clone(&self.0) }
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
        let address = "unix:@x".parse().unwrap();
        let connections = Connections::new(4);
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(connections.place(&address).await);
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
