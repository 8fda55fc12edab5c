//! Bytes of requests that may be held at once, by all connections and whoever has the bodies after them.

use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A bound on memory that peers can make us take; clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<State>);

#[derive(Debug)]
struct State {
    limit: AtomicU64,
    held: AtomicU64,
    refused: AtomicU64,
}

/// More would be over the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the requests under way fill the memory there is for them; try again in a moment")]
pub struct Exhausted;

impl Budget {
    /// A bound of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(State {
            limit: AtomicU64::new(limit),
            held: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// The bound.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// Another bound from now on. What is held already stays, be it more.
    pub fn set_limit(&self, limit: u64) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes held.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    /// How often there was not enough, ever.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Nothing yet, of one request or connection.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

/// What one request or connection holds; given back on drop.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: u64,
}

impl Share {
    /// Holds `bytes` from now on.
    ///
    /// # Errors
    /// Where that is more than there is; then it holds what it did.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.try_resize(bytes).inspect_err(|Exhausted| {
            self.budget.0.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// The same where there is another way: that it did not go is not counted.
    pub(super) fn try_resize(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let (bytes, State { limit, held, .. }) = (bytes as u64, &*self.budget.0);
        if let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) {
            let before = held.fetch_add(more, Ordering::Relaxed);
            if before.saturating_add(more) > limit.load(Ordering::Relaxed) {
                held.fetch_sub(more, Ordering::Relaxed);
                return Err(Exhausted);
            }
        } else {
            held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Ties what is held to a body: it counts until the last part of that is dropped, whoever has it by then.
    pub(super) fn tie(mut self, body: Bytes) -> Bytes {
        if body.is_empty() {
            return body;
        }
        // It may have been part of something larger; there is nothing to refuse in less.
        let _ = self.resize(body.len());
        Bytes::from_owner(Tied { body, _share: self })
    }

    /// A share of a body that its connection has counted before.
    pub(super) fn part(&mut self, body: &Bytes) -> Self {
        let bytes = self.bytes.min(body.len() as u64);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), bytes }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Tied {
    body: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Tied {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_bounded_together_and_given_back() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (budget.share(), budget.share());
        assert_eq!(a.resize(60), Ok(()));
        assert_eq!(b.resize(41), Err(Exhausted));
        assert_eq!(b.resize(40), Ok(()));
        assert_eq!(a.resize(10), Ok(()));
        assert_eq!(budget.held(), 50);
        drop(b);
        assert_eq!(budget.held(), 10);
        assert_eq!(a.resize(101), Err(Exhausted));
        assert_eq!(budget.held(), 10);
    }

    #[test]
    fn another_bound_binds_what_comes_after_it() {
        let budget = Budget::new(100);
        let mut share = budget.share();
        assert_eq!(share.resize(100), Ok(()));
        budget.set_limit(50);
        assert_eq!(share.resize(101), Err(Exhausted));
        assert_eq!(share.resize(40), Ok(()));
        assert_eq!(share.resize(51), Err(Exhausted));
        assert_eq!((budget.held(), budget.limit()), (40, 50));
    }

    #[test]
    fn a_body_counts_until_its_last_part_is_gone() {
        let budget = Budget::new(100);
        let mut connection = budget.share();
        connection.resize(60).unwrap();
        let body = Bytes::from(vec![0; 50]);
        let body = connection.part(&body).tie(body);
        connection.resize(0).unwrap();
        let part = body.slice(10..20);
        drop(body);
        assert_eq!(budget.held(), 50);
        drop(part);
        assert_eq!(budget.held(), 0);
    }
}
