//! An answer's body in pieces: what an answer is made of need not be joined, and so is not copied.

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

/// More pieces than that are cheaper to join than to send.
const MANY: usize = 64;

/// Bytes in their order, none of the pieces empty.
#[derive(Clone, Debug, Default)]
pub struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// Adds bytes at the end.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.0.push_back(piece);
        }
    }

    /// The bytes of all of them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|piece| &piece[..])
    }

    /// The bytes in one piece, not copied if they are.
    fn joined(mut self) -> Bytes {
        if self.0.len() <= 1 {
            return self.0.pop_front().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(self.len());
        self.iter().for_each(|piece| all.extend_from_slice(piece));
        all.freeze()
    }

    /// The same, in one piece if there are more than are worth to be sent one by one.
    #[must_use]
    pub fn joined_if_many(self) -> Self {
        if self.0.len() <= MANY { self } else { self.joined().into() }
    }

    pub(super) fn into_inner(self) -> VecDeque<Bytes> {
        self.0
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        [bytes].into_iter().collect()
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl FromIterator<Bytes> for Pieces {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut all = Self::default();
        pieces.into_iter().for_each(|piece| all.push(piece));
        all
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn pieces_are_a_body_of_their_bytes_in_order() {
        for count in [0, 1, 3, MANY, MANY + 1] {
            let given: Vec<Bytes> =
                (0..count).flat_map(|at| [Bytes::from(vec![at as u8; at + 1]), Bytes::new()]).collect();
            let pieces: Pieces = given.iter().cloned().collect();
            assert_eq!((pieces.0.len(), pieces.is_empty()), (count, count == 0));
            let joined = pieces.clone().joined_if_many();
            assert_eq!(joined.0.len(), if count > MANY { 1 } else { count });
            for pieces in [pieces, joined] {
                assert_eq!(pieces.size_hint().exact(), Some(given.concat().len() as u64));
                assert_eq!(pieces.collect().await.unwrap().to_bytes(), given.concat());
            }
        }
    }
}
