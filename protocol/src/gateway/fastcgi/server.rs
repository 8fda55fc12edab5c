//! The application's side of a connection: records in, requests out, answers in, records out.
//!
//! No I/O and no clock: [`feed`](Server::feed) what was read, [`poll`](Server::poll) what it means,
//! [`answer`](Server::answer) each request once, write what [`chunks`](Server::chunks) gives. Reading never waits for
//! writing. What a peer can make us hold is bounded: 64 requests at a time, each within [`Limits`], and a body grows as
//! it arrives, whatever its `CONTENT_LENGTH` says.

use super::{
    Error,
    outbox::Outbox,
    pairs,
    record::{
        ABORT_REQUEST, BEGIN_REQUEST, Begin, DATA, End, Framer, GET_VALUES, GET_VALUES_RESULT, Header,
        KEEP_CONN, PARAMS, Piece, RESPONDER, STDIN, UNKNOWN_ROLE, UNKNOWN_TYPE, put, unknown_type,
    },
    request::{Request, Stage},
};
use crate::gateway::{self, Limits, cgi};
use bytes::{Bytes, BytesMut};
use std::{
    collections::{HashMap, VecDeque},
    mem,
};

pub use super::request::{Incomplete, RequestId};

/// Requests of one connection at a time: `FCGI_MAX_REQS`. One more is answered 503.
pub const MAX_REQS: usize = 64;
/// Requests of one connection that may wait for an answer, be it a 503. One more, and the connection is closed.
pub const MAX_IDS: usize = 1024;
/// Bytes of framed records that may wait for a peer that asks but does not read.
const UNREAD_MAX: usize = 256 * 1024;
/// A block of variables up to this size is kept for the next request.
const SPARE_MAX: usize = 4 * 1024;

/// What the records read so far mean.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are requests, and they are taken at once")]
pub enum Event {
    /// A complete request, to be answered.
    Request {
        /// To answer it by.
        id: RequestId,
        /// Its head.
        request: cgi::Request,
        /// Its whole body.
        body: Bytes,
    },
    /// A request that is to be answered with this error's status; what is still sent of it is dropped.
    Reject {
        /// To answer it by.
        id: RequestId,
        /// What is wrong with it.
        error: gateway::Error,
    },
    /// A request that nobody waits for any more. It may never have been complete; an answer is ignored.
    Abort {
        /// The request.
        id: RequestId,
    },
}

/// The state of a connection.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    max_conns: usize,
    framer: Framer,
    /// The record being read.
    record: Header,
    /// Its content, if it has to be seen whole.
    content: Vec<u8>,
    requests: HashMap<u16, Request>,
    begun: u64,
    /// An empty buffer for variables.
    spare: Vec<u8>,
    events: VecDeque<Event>,
    outbox: Outbox,
    failed: Option<Error>,
    draining: bool,
    /// No request is begun any more.
    closing: bool,
    lingers: bool,
}

impl Server {
    /// A new connection; `max_conns` is what `FCGI_MAX_CONNS` is answered with.
    #[must_use]
    pub fn new(limits: Limits, max_conns: usize) -> Self {
        Self {
            limits,
            max_conns,
            framer: Framer::default(),
            record: Header { kind: 0, id: 0, length: 0, padding: 0 },
            content: Vec::new(),
            requests: HashMap::new(),
            begun: 0,
            spare: Vec::new(),
            events: VecDeque::new(),
            outbox: Outbox::default(),
            failed: None,
            draining: false,
            closing: false,
            lingers: false,
        }
    }

    /// From now on these bind, for what is under way too.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes all of `input`, which may begin and end anywhere in a record.
    ///
    /// # Errors
    /// Why the connection has to be closed at once, with every request of it cancelled; the same again when called again.
    pub fn feed(&mut self, input: &[u8]) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.read(input).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// The next thing to act on. To be called until `None` after each [`feed`](Self::feed).
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Answers a request, complete or not, with a head by [`StatusLine::Cgi`](cgi::StatusLine::Cgi) and its body; false,
    /// and nothing is done, if the request was answered or aborted.
    pub fn answer(&mut self, id: RequestId, head: &[u8], body: Bytes) -> bool {
        self.answer_in_pieces(id, head, [body].into())
    }

    /// The same with a body of several pieces, which are not joined.
    pub fn answer_in_pieces(&mut self, id: RequestId, head: &[u8], body: VecDeque<Bytes>) -> bool {
        let Some(request) = self.take(id) else { return false };
        self.lingers |= !matches!(request.stage, Stage::Given);
        self.closing |= self.draining || !request.keep_conn;
        self.outbox.push(id.number(), head, body);
        true
    }

    /// What is to be written now, in this order; nothing if there is nothing to write.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.outbox.chunks()
    }

    /// Says how many bytes of [`chunks`](Self::chunks) were written. There may be more to write then.
    pub fn advance(&mut self, written: usize) {
        self.outbox.advance(written);
    }

    /// From now on an answer closes the connection, as one without `KEEP_CONN` does.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether the connection is to be closed: its last answer is written.
    ///
    /// A request without `KEEP_CONN` asks for that, but takes none of the others with it: they are answered first, only
    /// new ones are not begun any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.closing && self.requests.is_empty() && self.outbox.framed() == 0
    }

    /// Whether the peer may still be sending what nobody wants, so that a close has to leave it time to read the answer.
    #[must_use]
    pub fn lingers(&self) -> bool {
        self.lingers
    }

    /// Requests begun and not answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.requests.len()
    }

    /// The oldest request that is not complete.
    #[must_use]
    pub fn incomplete(&self) -> Option<Incomplete> {
        self.unfinished().min_by_key(|request| request.id)
    }

    /// The incomplete request that holds most memory: the one to answer 503 when there is none left.
    #[must_use]
    pub fn heaviest(&self) -> Option<RequestId> {
        self.unfinished().max_by_key(|request| (request.received, request.id)).map(|request| request.id)
    }

    /// Bytes held for requests that are not complete.
    #[must_use]
    pub fn held(&self) -> usize {
        let requests: usize = self.requests.values().map(Request::held).sum();
        requests + self.content.capacity() + self.spare.capacity()
    }

    /// Bytes of answers not yet written.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.outbox.unsent()
    }

    fn unfinished(&self) -> impl Iterator<Item = Incomplete> {
        self.requests.iter().filter_map(|(&number, request)| request.incomplete(number))
    }

    fn take(&mut self, id: RequestId) -> Option<Request> {
        self.requests.get(&id.number()).filter(|request| request.id(id.number()) == id)?;
        self.requests.remove(&id.number())
    }

    fn read(&mut self, mut input: &[u8]) -> Result<(), Error> {
        while let Some(piece) = self.framer.piece(&mut input)? {
            match piece {
                Piece::Start(header) => {
                    self.record = header;
                    self.start()?;
                }
                Piece::Content(part) => self.content(part),
                Piece::End => self.end()?,
            }
        }
        Ok(())
    }

    /// What a header alone can break. A record that goes over a limit is refused here, before any of it is held.
    fn start(&mut self) -> Result<(), Error> {
        let Header { kind, id, length, .. } = self.record;
        if id == 0 && (BEGIN_REQUEST..=DATA).contains(&kind) {
            return Err(Error::IdZero(kind));
        }
        if kind == BEGIN_REQUEST && usize::from(length) != Begin::LEN {
            return Err(Error::BodyLength { kind, length });
        }
        let Some(request) = self.requests.get(&id) else { return Ok(()) };
        if kind == STDIN && matches!(request.stage, Stage::Head(_)) {
            return Err(Error::StdinBeforeParams(id));
        }
        if let Err(error) = request.room(kind, length, &self.limits) {
            self.lingers = true;
            self.reject(id, error);
        }
        Ok(())
    }

    /// Takes some of a record's content; what is of no interest is dropped as it comes.
    fn content(&mut self, part: &[u8]) {
        let Header { kind, id, .. } = self.record;
        if matches!((id, kind), (0, GET_VALUES) | (_, BEGIN_REQUEST)) {
            return self.content.extend_from_slice(part);
        }
        if let Some(request) = self.requests.get_mut(&id) {
            request.append(kind, part, &self.limits);
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        let Header { kind, id, length, .. } = self.record;
        match (id, kind) {
            (0, GET_VALUES) => self.values()?,
            (0, GET_VALUES_RESULT | UNKNOWN_TYPE) => {}
            (0, _) => self.outbox.push_small(&unknown_type(kind)),
            (_, BEGIN_REQUEST) => self.begin(id)?,
            (_, ABORT_REQUEST) => self.abort(id),
            (_, PARAMS) if length == 0 => self.head_is_complete(id)?,
            (_, STDIN) if length == 0 => self.body_is_complete(id),
            _ => {}
        }
        match self.outbox.framed() {
            unread @ UNREAD_MAX.. => Err(Error::NotReading(unread)),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, number: u16) -> Result<(), Error> {
        let body = self.content.first_chunk().copied();
        self.content.clear();
        let begin = Begin::decode(body.expect("the length of a BEGIN_REQUEST is checked by its header"));
        let keep_conn = begin.flags & KEEP_CONN != 0;
        if self.requests.contains_key(&number) || self.outbox.contains(number) {
            return Err(Error::BegunTwice(number));
        }
        if self.closing {
            self.lingers = true;
            return Ok(());
        }
        if begin.role != RESPONDER {
            self.outbox.push_small(&End { app_status: 0, protocol_status: UNKNOWN_ROLE }.record(number));
            self.lingers = true;
            self.closing |= self.draining || !keep_conn;
            return Ok(());
        }
        let open = self.requests.len() + self.outbox.waiting();
        if open >= MAX_IDS {
            return Err(Error::TooManyIds(MAX_IDS));
        }
        self.begun += 1;
        let stage = Stage::Head(mem::take(&mut self.spare));
        self.requests.insert(number, Request { serial: self.begun, keep_conn, stage });
        if open >= MAX_REQS {
            self.lingers = true;
            self.reject(number, gateway::Error::TooManyRequests(MAX_REQS));
        }
        Ok(())
    }

    fn head_is_complete(&mut self, number: u16) -> Result<(), Error> {
        let Some(request) = self.requests.get_mut(&number) else { return Ok(()) };
        let Stage::Head(params) = &mut request.stage else { return Ok(()) };
        let mut params = mem::take(params);
        let mut claimed = 0;
        let vars = pairs::decode(&params).map(|pair| {
            pair.map_err(|cut_off| {
                claimed = cut_off.length;
                gateway::Error::Truncated
            })
        });
        match cgi::request(vars, &self.limits) {
            Ok(head) => request.stage = Stage::Body(head, Vec::new()),
            Err(_) if claimed > self.limits.head as u64 => {
                return Err(Error::PairTooLong { id: number, length: claimed });
            }
            Err(error) => {
                self.lingers = true;
                self.reject(number, error);
            }
        }
        if params.capacity() <= SPARE_MAX {
            params.clear();
            self.spare = params;
        }
        Ok(())
    }

    fn body_is_complete(&mut self, number: u16) {
        let Some(request) = self.requests.get_mut(&number) else { return };
        let id = request.id(number);
        match mem::replace(&mut request.stage, Stage::Given) {
            Stage::Body(head, body) => match head.length {
                Some(length) if length != body.len() as u64 => {
                    self.reject(number, gateway::Error::LengthWrong(length));
                }
                _ => self.events.push_back(Event::Request { id, request: head, body: body.into() }),
            },
            unchanged => request.stage = unchanged,
        }
    }

    fn reject(&mut self, number: u16, error: gateway::Error) {
        if let Some(request) = self.requests.get_mut(&number) {
            request.stage = Stage::Given;
            let id = request.id(number);
            self.events.push_back(Event::Reject { id, error });
        }
    }

    fn abort(&mut self, number: u16) {
        if let Some(request) = self.requests.remove(&number) {
            self.closing |= self.draining || !request.keep_conn;
            self.outbox.end_stream(number);
            self.events.push_back(Event::Abort { id: request.id(number) });
        } else {
            self.outbox.cut(number);
        }
    }

    /// Answers the names that we know, as they are spelt; each once, so that the answer fits a record.
    fn values(&mut self) -> Result<(), Error> {
        let content = mem::take(&mut self.content);
        let mut known = [
            ("FCGI_MAX_CONNS", Some(self.max_conns)),
            ("FCGI_MAX_REQS", Some(MAX_REQS)),
            ("FCGI_MPXS_CONNS", Some(1)),
        ];
        let mut result = BytesMut::with_capacity(128);
        for pair in pairs::decode(&content) {
            let (name, _) = pair.map_err(|_| Error::ValuesBroken)?;
            for (known, value) in &mut known {
                if name.eq_ignore_ascii_case(known.as_bytes())
                    && let Some(value) = value.take()
                {
                    let mut digits = itoa::Buffer::new();
                    pairs::encode(name, digits.format(value).as_bytes(), &mut result)?;
                }
            }
        }
        let mut record = BytesMut::with_capacity(128);
        put(GET_VALUES_RESULT, 0, &result, &mut record)?;
        self.outbox.push_small(&record);
        Ok(())
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod bounds;
