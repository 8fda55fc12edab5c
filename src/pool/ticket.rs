//! Where a result is left for the one who waits for it: the first result counts, later ones are dropped.

use super::sync::{Mutex, MutexGuard, PoisonError};
use std::{
    mem,
    task::{Context, Poll, Waker},
};

/// Room for one result.
#[derive(Debug)]
pub(super) struct Cell<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    /// Nobody has asked yet.
    Empty,
    /// Who asked is to be woken.
    Waiting(Waker),
    /// There it is.
    Full(T),
    /// It was taken, or nobody wants it any more.
    Over,
}

impl<T> Cell<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Empty))
    }

    /// Leaves the result, and does `first` before anybody can see it. Where there is one already, or nobody waits for it,
    /// does neither and says false.
    pub(super) fn set(&self, result: T, first: impl FnOnce()) -> bool {
        let mut state = self.lock();
        match &*state {
            State::Full(_) | State::Over => false,
            State::Empty | State::Waiting(_) => {
                first();
                let before = mem::replace(&mut *state, State::Full(result));
                drop(state);
                if let State::Waiting(waker) = before {
                    waker.wake();
                }
                true
            }
        }
    }

    /// Takes the result, or has `cx` woken when it is there.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<T> {
        let mut state = self.lock();
        match &mut *state {
            State::Full(_) => {
                let State::Full(result) = mem::replace(&mut *state, State::Over) else {
                    unreachable!("matched above")
                };
                Poll::Ready(result)
            }
            State::Waiting(waker) if waker.will_wake(cx.waker()) => Poll::Pending,
            State::Empty | State::Waiting(_) => {
                *state = State::Waiting(cx.waker().clone());
                Poll::Pending
            }
            State::Over => Poll::Pending,
        }
    }

    /// Whether a result would still be taken.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.lock(), State::Empty | State::Waiting(_))
    }

    /// Nobody waits any more. True where there was no result yet.
    pub(super) fn give_up(&self) -> bool {
        let before = mem::replace(&mut *self.lock(), State::Over);
        matches!(before, State::Empty | State::Waiting(_))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
