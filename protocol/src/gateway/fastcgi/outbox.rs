//! What waits to be written: complete answers that take turns record by record, and small records that go before them.
//!
//! Only so much is framed ahead that a write has enough to do; the rest waits unframed, so that a short answer or a
//! management record never waits for the whole of a long one. A long body is sliced, not copied.

use super::record::{End, Header, REQUEST_COMPLETE, STDOUT};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::VecDeque;

/// The largest content of a record, so that others get their turn.
pub(super) const RECORD_MAX: usize = 32 * 1024;
/// Bytes framed ahead: one write's worth.
const AHEAD: usize = 64 * 1024;
/// Up to here a copy is cheaper than one more slice to write.
const COPY_MAX: usize = 4 * 1024;
/// What an idle connection keeps of its buffer.
const KEPT: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Framed, and to be written in this order; `tail` is the last of it.
    slices: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes in `slices` and `tail`.
    framed: usize,
    /// Answers not wholly framed; the first one is next.
    turns: VecDeque<Answer>,
}

/// The rest of an answer.
#[derive(Debug)]
struct Answer {
    id: u16,
    head: Bytes,
    /// In pieces, of which none is empty.
    body: VecDeque<Bytes>,
}

impl Outbox {
    /// Adds a complete answer.
    pub(super) fn push(&mut self, id: u16, mut head: &[u8], mut body: VecDeque<Bytes>) {
        body.retain(|piece| !piece.is_empty());
        if self.turns.is_empty() && self.framed < AHEAD {
            self.frame(id, &mut head, &mut body);
            if head.is_empty() && body.is_empty() {
                return self.end_stream(id);
            }
        }
        self.turns.push_back(Answer { id, head: Bytes::copy_from_slice(head), body });
        self.fill();
    }

    /// Adds a small record, before every answer that is not framed yet.
    pub(super) fn push_small(&mut self, record: &[u8]) {
        self.tail.put_slice(record);
        self.framed += record.len();
    }

    /// Ends a request's STDOUT and the request.
    pub(super) fn end_stream(&mut self, id: u16) {
        let end = End { app_status: 0, protocol_status: REQUEST_COMPLETE };
        self.push_small(&Header { kind: STDOUT, id, length: 0, padding: 0 }.encode());
        self.push_small(&end.record(id));
    }

    /// Drops what is not framed of an answer, and ends it; false if there is none.
    pub(super) fn cut(&mut self, id: u16) -> bool {
        let Some(at) = self.turns.iter().position(|answer| answer.id == id) else { return false };
        self.turns.remove(at);
        self.end_stream(id);
        true
    }

    pub(super) fn contains(&self, id: u16) -> bool {
        self.turns.iter().any(|answer| answer.id == id)
    }

    /// Answers not wholly framed.
    pub(super) fn waiting(&self) -> usize {
        self.turns.len()
    }

    /// Bytes framed and not yet written.
    pub(super) fn framed(&self) -> usize {
        self.framed
    }

    /// Bytes of heads and bodies not yet written, and of what is framed.
    pub(super) fn unsent(&self) -> usize {
        let body = |answer: &Answer| answer.body.iter().map(Bytes::len).sum::<usize>();
        self.framed + self.turns.iter().map(|answer| answer.head.len() + body(answer)).sum::<usize>()
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.slices.iter().map(|slice| &slice[..]).chain([&self.tail[..]]).filter(|chunk| !chunk.is_empty())
    }

    pub(super) fn advance(&mut self, written: usize) {
        let mut left = written.min(self.framed);
        self.framed -= left;
        while let Some(slice) = self.slices.front_mut() {
            let part = left.min(slice.len());
            slice.advance(part);
            left -= part;
            if !slice.is_empty() {
                break;
            }
            self.slices.pop_front();
        }
        self.tail.advance(left);
        if self.framed == 0 && self.tail.capacity() > KEPT {
            self.tail = BytesMut::new();
        }
        self.fill();
    }

    fn fill(&mut self) {
        while self.framed < AHEAD
            && let Some(mut answer) = self.turns.pop_front()
        {
            let head = std::mem::take(&mut answer.head);
            let mut rest = &head[..];
            self.frame(answer.id, &mut rest, &mut answer.body);
            if rest.is_empty() && answer.body.is_empty() {
                self.end_stream(answer.id);
            } else {
                answer.head = head.slice_ref(rest);
                self.turns.push_back(answer);
            }
        }
    }

    /// Frames one record from the front of head and body, of no more than one piece.
    fn frame(&mut self, id: u16, head: &mut &[u8], body: &mut VecDeque<Bytes>) {
        let of_head = head.len().min(RECORD_MAX);
        let of_body = body.front().map_or(0, Bytes::len).min(RECORD_MAX - of_head);
        let Ok(length @ 1..) = u16::try_from(of_head + of_body) else { return };
        self.push_small(&Header { kind: STDOUT, id, length, padding: 0 }.encode());
        let (now, later) = head.split_at(of_head);
        self.push_small(now);
        *head = later;
        let part = body.front_mut().map(|piece| piece.split_to(of_body)).unwrap_or_default();
        if body.front().is_some_and(Bytes::is_empty) {
            body.pop_front();
        }
        if part.len() <= COPY_MAX {
            self.push_small(&part);
        } else {
            if !self.tail.is_empty() {
                self.slices.push_back(self.tail.split().freeze());
            }
            self.framed += part.len();
            self.slices.push_back(part);
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
