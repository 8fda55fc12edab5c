//! What a handler may make of a body, such as its uncompressed form: the same limit and the same memory as for bodies that
//! come from a peer.

use super::{
    Limits,
    budget::{Budget, Exhausted, Share},
};
use bytes::Bytes;
use http::{header, request};

/// How far a body may grow. Among the extensions of every request that has a `Content-Encoding`.
#[derive(Clone, Debug)]
pub struct Allowance {
    limit: u64,
    budget: Budget,
}

/// Why a body may not grow further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overgrown {
    /// It is more than one request may send.
    #[error("the uncompressed body is over the limit of {0} bytes")]
    TooLarge(u64),
    /// All requests together are more than there is room for.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

impl Allowance {
    pub(super) fn grant(parts: &mut request::Parts, limits: &Limits) {
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            parts.extensions.insert(Self::of(limits));
        }
    }

    fn of(limits: &Limits) -> Self {
        Self { limit: limits.protocol.body, budget: limits.budget.clone() }
    }

    /// A body of nothing yet.
    #[must_use]
    pub fn begin(&self) -> Growing {
        Growing { bytes: Vec::new(), share: self.budget.share(), limit: self.limit }
    }
}

/// That of a request by itself, where another server than ours has taken it.
impl Default for Allowance {
    fn default() -> Self {
        Self::of(&Limits::default())
    }
}

/// The least that a body grows by.
const STEP: usize = 64 * 1024;

/// A body in the making.
#[derive(Debug)]
pub struct Growing {
    bytes: Vec<u8>,
    /// Of what `bytes` has room for.
    share: Share,
    limit: u64,
}

impl Growing {
    /// What there is, with room for at least one byte more. To be filled without growing it otherwise.
    ///
    /// # Errors
    /// Where it is too large already, or there is no memory for more.
    pub fn with_room(&mut self) -> Result<&mut Vec<u8>, Overgrown> {
        let length = self.bytes.len();
        if length as u64 > self.limit {
            return Err(Overgrown::TooLarge(self.limit));
        }
        if length == self.bytes.capacity() {
            // One byte over the limit tells that it is too large.
            let most = usize::try_from(self.limit.saturating_add(1)).unwrap_or(usize::MAX);
            let mut capacity = length.saturating_mul(2).max(STEP).min(most);
            if self.share.try_resize(capacity).is_err() {
                // Twice as much may be more than it needs.
                capacity = length.saturating_add(STEP).min(most);
                self.share.resize(capacity)?;
            }
            self.bytes.reserve_exact(capacity - length);
        }
        Ok(&mut self.bytes)
    }

    /// It is complete: it counts until its last part is dropped.
    ///
    /// # Errors
    /// Where it is too large.
    pub fn finish(mut self) -> Result<Bytes, Overgrown> {
        if self.bytes.len() as u64 > self.limit {
            return Err(Overgrown::TooLarge(self.limit));
        }
        // Else what is held would be more than what is counted.
        self.bytes.shrink_to_fit();
        Ok(self.share.tie(self.bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills all the room there is, until there is no more or it has `length` bytes.
    fn grow(allowance: &Allowance, length: usize) -> Result<Bytes, Overgrown> {
        let mut growing = allowance.begin();
        while growing.bytes.len() < length {
            let bytes = growing.with_room()?;
            let room = bytes.capacity() - bytes.len();
            assert!(room > 0);
            bytes.resize((bytes.len() + room).min(length), 7);
        }
        growing.finish()
    }

    #[test]
    fn a_body_grows_to_its_limit_and_no_byte_more() {
        for limit in [0, 1, 65_535, 65_536, 65_537, 1_000_000] {
            let allowance = Allowance { limit: limit as u64, budget: Budget::new(1 << 30) };
            assert_eq!(grow(&allowance, limit).unwrap().len(), limit);
            for length in [limit + 1, limit + 2, limit * 3 + 100_000] {
                assert_eq!(grow(&allowance, length), Err(Overgrown::TooLarge(limit as u64)), "{length}");
            }
            assert_eq!(allowance.budget.held(), 0);
        }
    }

    #[test]
    fn a_body_counts_for_as_long_as_it_is_held() {
        let allowance = Allowance { limit: 1 << 20, budget: Budget::new(1_500_000) };
        let body = grow(&allowance, 1 << 20).unwrap();
        assert_eq!(allowance.budget.held(), 1 << 20);
        // As much as there is, though it doubles on the way.
        let rest = 1_500_000 - (1 << 20);
        assert!(grow(&allowance, rest - STEP).is_ok());
        assert_eq!(grow(&allowance, 1 << 20), Err(Overgrown::Exhausted(Exhausted)));
        assert_eq!(allowance.budget.held(), 1 << 20);
        drop(body);
        assert_eq!(allowance.budget.held(), 0);
    }
}
