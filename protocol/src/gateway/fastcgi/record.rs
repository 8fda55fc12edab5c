//! Records: the 8-byte header, the bodies of fixed length, and the cutting of a byte stream into them.
//!
//! Lengths are added as `usize`: content and padding together can be 65,790 bytes, which a `u16` does not hold. What we
//! write has its reserved bytes and its padding zeroed.

use super::Error;
use bytes::{BufMut, BytesMut};

/// The only version there is.
pub const VERSION: u8 = 1;

/// Starts a request.
pub const BEGIN_REQUEST: u8 = 1;
/// Gives a request up.
pub const ABORT_REQUEST: u8 = 2;
/// Ends a request.
pub const END_REQUEST: u8 = 3;
/// Stream of variables.
pub const PARAMS: u8 = 4;
/// Stream of the request's body.
pub const STDIN: u8 = 5;
/// Stream of the response.
pub const STDOUT: u8 = 6;
/// Stream of messages. We read and drop it, and never write it: `HAProxy` 2.6 dies of it.
pub const STDERR: u8 = 7;
/// A second body, for the Filter role only.
pub const DATA: u8 = 8;
/// Asks what the application can do.
pub const GET_VALUES: u8 = 9;
/// Says it.
pub const GET_VALUES_RESULT: u8 = 10;
/// Says that a management record was not understood.
pub const UNKNOWN_TYPE: u8 = 11;

/// The role of every application server.
pub const RESPONDER: u16 = 1;
/// The one flag of `BEGIN_REQUEST`: the connection stays open after the answer.
pub const KEEP_CONN: u8 = 1;

/// `protocolStatus`: an ordinary end.
pub const REQUEST_COMPLETE: u8 = 0;
/// `protocolStatus`: no second request on this connection.
pub const CANT_MPX_CONN: u8 = 1;
/// `protocolStatus`: no room. No front end reads it, so we answer `Status: 503` instead.
pub const OVERLOADED: u8 = 2;
/// `protocolStatus`: not a Responder's work.
pub const UNKNOWN_ROLE: u8 = 3;

/// The largest content that we put in one record of a stream: a multiple of 8, so that nothing needs padding but the end.
const CONTENT_MAX: usize = 65_528;

/// The first eight bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type, as [`BEGIN_REQUEST`].
    pub kind: u8,
    /// The request, or 0 in management records.
    pub id: u16,
    /// Length of the content in bytes.
    pub length: u16,
    /// Bytes to skip after the content.
    pub padding: u8,
}

impl Header {
    /// Length on the wire in bytes.
    pub const LEN: usize = 8;

    /// Reads a header; the reserved byte is not looked at.
    ///
    /// # Errors
    /// [`Error::Version`].
    pub fn decode(bytes: [u8; Self::LEN]) -> Result<Self, Error> {
        let [version, kind, id1, id0, length1, length0, padding, _] = bytes;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let (id, length) = (u16::from_be_bytes([id1, id0]), u16::from_be_bytes([length1, length0]));
        Ok(Self { kind, id, length, padding })
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; Self::LEN] {
        let ([id1, id0], [length1, length0]) = (self.id.to_be_bytes(), self.length.to_be_bytes());
        [VERSION, self.kind, id1, id0, length1, length0, self.padding, 0]
    }
}

/// The body of `BEGIN_REQUEST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// What is wanted: [`RESPONDER`], or what we do not do.
    pub role: u16,
    /// [`KEEP_CONN`], and bits that mean nothing.
    pub flags: u8,
}

impl Begin {
    /// Length on the wire in bytes.
    pub const LEN: usize = 8;

    /// Reads the body.
    #[must_use]
    pub fn decode([role1, role0, flags, ..]: [u8; Self::LEN]) -> Self {
        Self { role: u16::from_be_bytes([role1, role0]), flags }
    }

    /// The whole record.
    #[must_use]
    pub fn record(self, id: u16) -> [u8; Header::LEN + Self::LEN] {
        let [role1, role0] = self.role.to_be_bytes();
        fixed(BEGIN_REQUEST, id, [role1, role0, self.flags, 0, 0, 0, 0, 0])
    }
}

/// The body of `END_REQUEST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What a CGI program's exit code would be; 0 here.
    pub app_status: u32,
    /// [`REQUEST_COMPLETE`] and its like.
    pub protocol_status: u8,
}

impl End {
    /// Length on the wire in bytes.
    pub const LEN: usize = 8;

    /// Reads the body.
    #[must_use]
    pub fn decode([a, b, c, d, protocol_status, ..]: [u8; Self::LEN]) -> Self {
        Self { app_status: u32::from_be_bytes([a, b, c, d]), protocol_status }
    }

    /// The whole record.
    #[must_use]
    pub fn record(self, id: u16) -> [u8; Header::LEN + Self::LEN] {
        let [a, b, c, d] = self.app_status.to_be_bytes();
        fixed(END_REQUEST, id, [a, b, c, d, self.protocol_status, 0, 0, 0])
    }
}

/// The whole `UNKNOWN_TYPE` record that answers a management record of type `kind`.
#[must_use]
pub fn unknown_type(kind: u8) -> [u8; 16] {
    fixed(UNKNOWN_TYPE, 0, [kind, 0, 0, 0, 0, 0, 0, 0])
}

fn fixed(kind: u8, id: u16, body: [u8; 8]) -> [u8; 16] {
    let mut record = [0; 16];
    let (head, rest) = record.split_at_mut(Header::LEN);
    head.copy_from_slice(&Header { kind, id, length: 8, padding: 0 }.encode());
    rest.copy_from_slice(&body);
    record
}

/// Appends one record, padded to a multiple of 8 bytes.
///
/// # Errors
/// [`Error::TooLong`] for a content over 65,535 bytes.
pub fn put(kind: u8, id: u16, content: &[u8], output: &mut BytesMut) -> Result<(), Error> {
    let length = u16::try_from(content.len()).map_err(|_| Error::TooLong(content.len()))?;
    let padding = (8 - length % 8) % 8;
    let header = Header { kind, id, length, padding: padding.to_be_bytes()[1] };
    output.put_slice(&header.encode());
    output.put_slice(content);
    output.put_bytes(0, padding.into());
    Ok(())
}

/// Appends a whole stream: records of at most 64 KiB, then the empty one that ends it.
pub fn put_stream(kind: u8, id: u16, content: &[u8], output: &mut BytesMut) {
    for part in content.chunks(CONTENT_MAX).chain([&[][..]]) {
        put(kind, id, part, output).expect("CONTENT_MAX fits a record");
    }
}

/// Cuts a byte stream, given in pieces of any size, into records.
#[derive(Debug, Default)]
pub struct Framer {
    place: Place,
}

/// Where in a record the stream stands.
#[derive(Debug)]
enum Place {
    Header { bytes: [u8; Header::LEN], filled: usize },
    Content { left: usize, padding: usize },
    Padding { left: usize },
}

impl Default for Place {
    fn default() -> Self {
        Self::Header { bytes: [0; Header::LEN], filled: 0 }
    }
}

/// A part of a record: each record gives one start, its content in one or more pieces if it has any, and one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The header is complete.
    Start(Header),
    /// Some of the content, never empty.
    Content(&'a [u8]),
    /// The content is complete.
    End,
}

impl Framer {
    /// Takes the next piece from the front of `input`; `None` once all of it is taken.
    ///
    /// # Errors
    /// [`Error::Version`]; the stream is then of no further use.
    pub fn piece<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, Error> {
        loop {
            match &mut self.place {
                Place::Header { bytes, filled } => {
                    let part = take(input, Header::LEN - *filled);
                    bytes[*filled..*filled + part.len()].copy_from_slice(part);
                    *filled += part.len();
                    if *filled < Header::LEN {
                        return Ok(None);
                    }
                    let header = Header::decode(*bytes)?;
                    self.place =
                        Place::Content { left: header.length.into(), padding: header.padding.into() };
                    return Ok(Some(Piece::Start(header)));
                }
                Place::Content { left: 0, padding } => {
                    self.place = Place::Padding { left: *padding };
                    return Ok(Some(Piece::End));
                }
                Place::Content { left, .. } => {
                    let content = take(input, *left);
                    *left -= content.len();
                    return Ok(Some(content).filter(|content| !content.is_empty()).map(Piece::Content));
                }
                Place::Padding { left } => {
                    *left -= take(input, *left).len();
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.place = Place::default();
                }
            }
        }
    }
}

fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (part, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    part
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
