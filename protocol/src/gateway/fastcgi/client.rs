//! The front end's side of a connection: requests out, answers in. For `predictd call`, tests and fuzzing.
//!
//! No I/O and no clock. Requests are appended to a buffer of the caller's; of the answers no more is held than the limit
//! given. It is as strict as nginx: a record for a request that is not open ends the connection.

use super::{
    Error, pairs,
    record::{
        ABORT_REQUEST, Begin, END_REQUEST, End, Framer, GET_VALUES, GET_VALUES_RESULT, Header, KEEP_CONN,
        PARAMS, Piece, RESPONDER, STDERR, STDIN, STDOUT, UNKNOWN_TYPE, put, put_stream,
    },
};
use bytes::{BufMut, Bytes, BytesMut};
use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

/// What the application said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The whole answer to a request.
    Answer {
        /// The request.
        id: u16,
        /// Head and body, to be read by [`cgi::response`](crate::gateway::cgi::response).
        stdout: Bytes,
        /// How it ended.
        end: End,
    },
    /// The answer to [`Client::values`]: names and values.
    Values(Vec<(Bytes, Bytes)>),
    /// A management record of this type was not understood.
    UnknownType(u8),
}

/// The state of a connection.
#[derive(Debug)]
pub struct Client {
    limit: usize,
    framer: Framer,
    record: Header,
    /// Content of the record being read, if it has to be seen whole.
    content: Vec<u8>,
    /// STDOUT of the requests that are open.
    open: BTreeMap<u16, Vec<u8>>,
    events: VecDeque<Event>,
}

impl Client {
    /// A new connection, whose answers may take `limit` bytes together before they are polled.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            framer: Framer::default(),
            record: Header { kind: 0, id: 0, length: 0, padding: 0 },
            content: Vec::new(),
            open: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Appends a whole request to `output`: the variables as they are, then `body`.
    ///
    /// # Errors
    /// [`Error::BegunTwice`] and [`Error::IdZero`] for an id that cannot be used, [`Error::TooLong`].
    pub fn request<'a>(
        &mut self,
        id: u16,
        keep_conn: bool,
        vars: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        body: &[u8],
        output: &mut BytesMut,
    ) -> Result<(), Error> {
        let begin = Begin { role: RESPONDER, flags: if keep_conn { KEEP_CONN } else { 0 } };
        let record = begin.record(id);
        if id == 0 {
            return Err(Error::IdZero(record[1]));
        }
        let mut params = BytesMut::new();
        for (name, value) in vars {
            pairs::encode(name, value, &mut params)?;
        }
        if self.open.insert(id, Vec::new()).is_some() {
            return Err(Error::BegunTwice(id));
        }
        output.put_slice(&record);
        put_stream(PARAMS, id, &params, output);
        put_stream(STDIN, id, body, output);
        Ok(())
    }

    /// Appends the giving up of a request, which is still to be answered.
    pub fn abort(&mut self, id: u16, output: &mut BytesMut) {
        output.put_slice(&Header { kind: ABORT_REQUEST, id, length: 0, padding: 0 }.encode());
    }

    /// Appends the question for these values, as `FCGI_MAX_REQS`.
    ///
    /// # Errors
    /// [`Error::TooLong`] where the names do not fit one record.
    pub fn values(&mut self, names: &[&str], output: &mut BytesMut) -> Result<(), Error> {
        let mut content = BytesMut::new();
        for name in names {
            pairs::encode(name.as_bytes(), b"", &mut content)?;
        }
        put(GET_VALUES, 0, &content, output)
    }

    /// Takes all of `input`, which may begin and end anywhere in a record.
    ///
    /// # Errors
    /// Why the connection has to be closed.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), Error> {
        while let Some(piece) = self.framer.piece(&mut input)? {
            match piece {
                Piece::Start(header) => {
                    self.record = header;
                    self.start()?;
                }
                Piece::Content(part) => self.content(part)?,
                Piece::End => self.end()?,
            }
        }
        Ok(())
    }

    /// The next complete answer.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Requests that are not answered.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    fn start(&self) -> Result<(), Error> {
        let Header { kind, id, length, .. } = self.record;
        match kind {
            GET_VALUES_RESULT if id == 0 => Ok(()),
            UNKNOWN_TYPE | END_REQUEST if length != 8 => Err(Error::BodyLength { kind, length }),
            UNKNOWN_TYPE if id == 0 => Ok(()),
            STDOUT | STDERR | END_REQUEST if self.open.contains_key(&id) => Ok(()),
            _ => Err(Error::NotAsked { kind, id }),
        }
    }

    fn content(&mut self, part: &[u8]) -> Result<(), Error> {
        let held = self.content.len() + self.open.values().map(Vec::len).sum::<usize>();
        let Header { kind, id, .. } = self.record;
        let buffer = match kind {
            STDOUT => self.open.get_mut(&id),
            STDERR => None,
            _ => Some(&mut self.content),
        };
        let Some(buffer) = buffer else { return Ok(()) };
        if held + part.len() > self.limit {
            return Err(Error::AnswerTooLarge(self.limit));
        }
        buffer.extend_from_slice(part);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        let content = mem::take(&mut self.content);
        match (self.record.kind, content.first_chunk()) {
            (END_REQUEST, Some(body)) => {
                let id = self.record.id;
                if let Some(stdout) = self.open.remove(&id) {
                    self.events.push_back(Event::Answer {
                        id,
                        stdout: stdout.into(),
                        end: End::decode(*body),
                    });
                }
            }
            (UNKNOWN_TYPE, Some(body)) => {
                let [kind, ..]: [u8; 8] = *body;
                self.events.push_back(Event::UnknownType(kind));
            }
            (GET_VALUES_RESULT, _) => {
                let content = Bytes::from(content);
                let values = pairs::decode(&content)
                    .map(|pair| pair.map(|(name, value)| (content.slice_ref(name), content.slice_ref(value))))
                    .collect::<Result<_, _>>()
                    .map_err(|_| Error::ValuesBroken)?;
                self.events.push_back(Event::Values(values));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
