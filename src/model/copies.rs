//! Things that one may use at a time, and several of the same kind: whoever wants one waits until there is one that nobody
//! uses, or gives up.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// So many of the same, each for one user at a time.
#[derive(Debug)]
pub(super) struct Copies<T> {
    free: Mutex<Vec<T>>,
    bell: Condvar,
}

/// One wait for a copy, which may be given up from another thread.
#[derive(Debug)]
pub(super) struct Wait<T> {
    copies: Arc<Copies<T>>,
    given_up: AtomicBool,
}

impl<T> Copies<T> {
    pub(super) fn new(copies: Vec<T>) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(copies), bell: Condvar::new() })
    }

    /// A wait to come.
    pub(super) fn wait(self: &Arc<Self>) -> Wait<T> {
        Wait { copies: Arc::clone(self), given_up: AtomicBool::new(false) }
    }

    fn free(&self) -> MutexGuard<'_, Vec<T>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Wait<T> {
    /// Uses a copy when there is one; `None` where that was given up before.
    pub(super) fn then<R>(&self, user: impl FnOnce(&T) -> R) -> Option<R> {
        let full = |free: &mut Vec<T>| free.is_empty() && !self.given_up.load(Ordering::Relaxed);
        let mut free =
            self.copies.bell.wait_while(self.copies.free(), full).unwrap_or_else(PoisonError::into_inner);
        if self.given_up.load(Ordering::Relaxed) {
            // Whoever rang may have meant another.
            self.copies.bell.notify_one();
            return None;
        }
        let lent = Lent { copy: free.pop(), copies: &self.copies };
        drop(free);
        lent.copy.as_ref().map(user)
    }

    /// Ends the wait, if it has not ended yet.
    pub(super) fn give_up(&self) {
        // With the lock, so that who is about to wait sees it, or hears the bell.
        let _free = self.copies.free();
        self.given_up.store(true, Ordering::Relaxed);
        self.copies.bell.notify_all();
    }
}

/// A copy in use; given back on drop, by a panic too.
struct Lent<'a, T> {
    copy: Option<T>,
    copies: &'a Copies<T>,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.copies.free().extend(self.copy.take());
        self.copies.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::AtomicUsize,
        thread,
    };

    #[test]
    fn a_copy_has_one_user_at_a_time_and_all_are_used() {
        let copies = Copies::new(vec![AtomicUsize::new(0), AtomicUsize::new(0)]);
        let most = AtomicUsize::new(0);
        let users = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let used = copies.wait().then(|copy| {
                            assert_eq!(copy.fetch_add(1, Ordering::Relaxed), 0, "nobody else has it");
                            most.fetch_max(users.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                            thread::yield_now();
                            users.fetch_sub(1, Ordering::Relaxed);
                            copy.store(0, Ordering::Relaxed);
                        });
                        assert!(used.is_some());
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 2);
        assert_eq!(copies.free().len(), 2);
    }

    #[test]
    fn who_gives_up_does_not_wait_and_hinders_nobody() {
        let copies = Copies::new(vec![()]);
        let waits = [copies.wait(), copies.wait()];
        copies.wait().then(|()| {
            thread::scope(|scope| {
                let waiting = scope.spawn(|| waits[0].then(|()| ()));
                waits[0].give_up();
                assert_eq!(waiting.join().unwrap(), None);
            });
        });
        assert_eq!(waits[1].then(|()| 7), Some(7));
        waits[1].give_up();
        assert_eq!(waits[1].then(|()| 7), None);
    }

    #[test]
    fn a_panic_gives_its_copy_back() {
        let copies = Copies::new(vec![()]);
        let panicked = catch_unwind(AssertUnwindSafe(|| copies.wait().then(|()| panic!("on purpose"))));
        assert!(panicked.is_err());
        assert_eq!(copies.wait().then(|()| 7), Some(7));
    }
}
