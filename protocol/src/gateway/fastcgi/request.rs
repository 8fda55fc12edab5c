//! A request that is begun and not answered: what it is called, and what is held of it so far.

use super::record::{PARAMS, STDIN};
use crate::gateway::{Error, Limits, cgi};
use std::fmt;

/// A request on its connection. The front end uses its numbers again; a late answer to an aborted request must not
/// become the answer to the next one of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    serial: u64,
    number: u16,
}

impl RequestId {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self.number
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

/// A request that is not complete: with this and a clock, a caller finds the peers that are too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// The request.
    pub id: RequestId,
    /// Whether its variables are complete, so that only the body is missing.
    pub has_head: bool,
    /// Bytes of the missing part so far.
    pub received: usize,
}

/// A request begun and not answered.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) serial: u64,
    pub(super) keep_conn: bool,
    pub(super) stage: Stage,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are few, and a box would cost each request an allocation"
)]
pub(super) enum Stage {
    /// PARAMS arrive.
    Head(Vec<u8>),
    /// STDIN arrives.
    Body(cgi::Request, Vec<u8>),
    /// Given out, an answer is awaited.
    Given,
}

impl Request {
    pub(super) fn id(&self, number: u16) -> RequestId {
        RequestId { serial: self.serial, number }
    }

    pub(super) fn incomplete(&self, number: u16) -> Option<Incomplete> {
        let id = self.id(number);
        match &self.stage {
            Stage::Head(params) => Some(Incomplete { id, has_head: false, received: params.len() }),
            Stage::Body(_, body) => Some(Incomplete { id, has_head: true, received: body.len() }),
            Stage::Given => None,
        }
    }

    /// Bytes allocated for what has arrived.
    pub(super) fn held(&self) -> usize {
        match &self.stage {
            Stage::Head(buffer) | Stage::Body(_, buffer) => buffer.capacity(),
            Stage::Given => 0,
        }
    }

    /// Whether a record of `length` bytes more stays within the limits.
    pub(super) fn room(&self, kind: u8, length: u16, limits: &Limits) -> Result<(), Error> {
        match (kind, &self.stage) {
            (PARAMS, Stage::Head(params)) => {
                let size = params.len() + usize::from(length);
                if size > limits.head { Err(Error::HeadTooLarge(size, limits.head)) } else { Ok(()) }
            }
            (STDIN, Stage::Body(head, body)) => {
                let size = body.len() as u64 + u64::from(length);
                match head.length {
                    Some(length) if size > length => Err(Error::LengthWrong(length)),
                    None if size > limits.body => Err(Error::StreamTooLarge(limits.body)),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Takes what belongs to the stage; there is [`room`](Self::room) for it.
    pub(super) fn append(&mut self, kind: u8, part: &[u8], limits: &Limits) {
        match (kind, &mut self.stage) {
            (PARAMS, Stage::Head(params)) => params.extend_from_slice(part),
            (STDIN, Stage::Body(head, body)) => append(body, part, head.length.unwrap_or(limits.body)),
            _ => {}
        }
    }
}

/// Appends to a body of at most `most` bytes, which is never given more than twice the room that it was seen to need.
fn append(body: &mut Vec<u8>, part: &[u8], most: u64) {
    let size = body.len() + part.len();
    if size > body.capacity() {
        let room = usize::try_from(most).unwrap_or(usize::MAX).min(size * 2);
        body.reserve_exact(room - body.len());
    }
    body.extend_from_slice(part);
}
