//! State behind a lock, and workers that wait until it has something for them.
//!
//! Counts who waits and who was woken, so that a burst of work costs no more wake-ups than there are idle workers: a
//! condition variable alone would make a system call of every notification.

use super::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::ops::{Deref, DerefMut};

/// The state, its lock, and the place where workers wait.
#[derive(Debug)]
pub(super) struct Monitor<S> {
    inner: Mutex<Inner<S>>,
    workers: Condvar,
}

#[derive(Debug)]
struct Inner<S> {
    state: S,
    /// Workers that wait.
    idle: usize,
    /// Of these, the ones that have been notified and have not woken up yet.
    woken: usize,
}

/// What is behind the lock.
pub(super) trait State {
    /// What it holds no longer, and what may take long to drop.
    type GivenUp;

    /// Lets go of that.
    fn given_up(&mut self) -> Self::GivenUp;
}

/// The locked state. Dropped, it unlocks, then wakes whom it was told to, then drops what the state has given up.
pub(super) struct Guard<'a, S: State> {
    monitor: &'a Monitor<S>,
    /// Always there until the guard is dropped.
    inner: Option<MutexGuard<'a, Inner<S>>>,
    notify: usize,
}

impl<S: State> Monitor<S> {
    pub(super) fn new(state: S) -> Self {
        let inner = Inner { state, idle: 0, woken: 0 };
        Self { inner: Mutex::new(inner), workers: Condvar::new() }
    }

    pub(super) fn lock(&self) -> Guard<'_, S> {
        // A panic of another thread leaves the state as it was: nothing that holds the lock panics half-way.
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Guard { monitor: self, inner: Some(inner), notify: 0 }
    }
}

impl<'a, S: State> Guard<'a, S> {
    /// Workers that wait.
    pub(super) fn idle(&self) -> usize {
        self.inner().idle
    }

    /// Wakes one more worker, if there is one that is not awake already.
    pub(super) fn wake(&mut self) {
        let inner = self.inner_mut();
        if inner.idle > inner.woken {
            inner.woken += 1;
            self.notify += 1;
        }
    }

    /// Wakes every worker.
    pub(super) fn wake_all(&mut self) {
        while self.inner().idle > self.inner().woken {
            self.wake();
        }
    }

    /// Unlocks, waits to be woken, and locks again. What was given up is left to the next that unlocks.
    pub(super) fn wait(mut self) -> Self {
        let monitor = self.monitor;
        self.inner_mut().idle += 1;
        let (inner, notify) = (self.inner.take().expect("locked"), std::mem::take(&mut self.notify));
        drop(self);
        // Before we sleep: these might be what we wait for.
        (0..notify).for_each(|_| monitor.workers.notify_one());
        let mut inner = monitor.workers.wait(inner).unwrap_or_else(PoisonError::into_inner);
        inner.idle -= 1;
        // A worker that wakes without having been woken takes another's count; that costs one wake-up too many, never one
        // too few.
        inner.woken = inner.woken.saturating_sub(1).min(inner.idle);
        Self { monitor, inner: Some(inner), notify: 0 }
    }

    fn inner(&self) -> &Inner<S> {
        self.inner.as_deref().expect("locked")
    }

    fn inner_mut(&mut self) -> &mut Inner<S> {
        self.inner.as_deref_mut().expect("locked")
    }
}

impl<S: State> Deref for Guard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.inner().state
    }
}

impl<S: State> DerefMut for Guard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.inner_mut().state
    }
}

impl<S: State> Drop for Guard<'_, S> {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take() else { return };
        let _given_up = inner.state.given_up();
        drop(inner);
        for _ in 0..self.notify {
            self.monitor.workers.notify_one();
        }
    }
}
