//! The uwsgi protocol: a 4-byte header, a block of variables, then the body, unframed.
//!
//! Not here: sockets, timeouts, the body. A packet is decoded from what has arrived so far, and "more is needed" is
//! no error. Source: the uWSGI documentation, "The uwsgi Protocol", and `uwsgi_parse_vars` of uWSGI.

use super::{Error, Limits, cgi};
use bytes::{BufMut, BytesMut};
use nom::{IResult, Parser, multi::length_data, number::complete::le_u16};

/// `modifier1` of a request to an application.
pub const MODIFIER_REQUEST: u8 = 0;
/// `modifier1` of a liveness probe (`uwsgi --ping`).
pub const MODIFIER_PING: u8 = 100;
/// The answer to a ping: modifier1 100, no data, modifier2 1.
pub const PONG: [u8; Header::LEN] = [MODIFIER_PING, 0, 0, 1];

/// The first four bytes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What kind of packet this is.
    pub modifier1: u8,
    /// Length of the block of variables in bytes.
    pub datasize: u16,
    /// A detail of the kind.
    pub modifier2: u8,
}

impl Header {
    /// Length on the wire in bytes.
    pub const LEN: usize = 4;

    /// Reads the header from the front of `input`, or `None` while it is incomplete.
    #[must_use]
    pub fn decode(input: &[u8]) -> Option<Self> {
        let &[modifier1, low, high, modifier2] = input.first_chunk()?;
        Some(Self { modifier1, datasize: u16::from_le_bytes([low, high]), modifier2 })
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; Self::LEN] {
        let [low, high] = self.datasize.to_le_bytes();
        [self.modifier1, low, high, self.modifier2]
    }
}

/// What a client sent, up to its body.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are requests, and they are taken at once")]
pub enum Packet {
    /// A request whose head took this many bytes; its body follows.
    Request(cgi::Request, usize),
    /// A probe, to be answered by [`PONG`].
    Ping,
    /// A kind that no application server has for us: logged and closed, as uWSGI does.
    Unavailable(u8),
}

/// Decodes the packet at the front of `input`, or `None` while more bytes are needed.
///
/// # Errors
/// What is wrong with the variables. The connection is then of no further use.
pub fn decode(input: &[u8], limits: &Limits) -> Result<Option<Packet>, Error> {
    let Some(header) = Header::decode(input) else { return Ok(None) };
    match header.modifier1 {
        MODIFIER_REQUEST => {}
        MODIFIER_PING => return Ok(Some(Packet::Ping)),
        other => return Ok(Some(Packet::Unavailable(other))),
    }
    let size = usize::from(header.datasize);
    if size > limits.head {
        return Err(Error::HeadTooLarge(size, limits.head));
    }
    let end = Header::LEN + size;
    let Some(block) = input.get(Header::LEN..end) else { return Ok(None) };
    let request = cgi::request(Vars { rest: block }, limits)?;
    if request.length.is_none() && request.chunked {
        return Err(Error::LengthRequired);
    }
    Ok(Some(Packet::Request(request, end)))
}

/// The variables of a complete block, in the order sent.
struct Vars<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Vars<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Ok((rest, pair)) = pair(self.rest) else {
            self.rest = &[];
            return Some(Err(Error::Truncated));
        };
        self.rest = rest;
        Some(Ok(pair))
    }
}

fn pair(input: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    (length_data(le_u16), length_data(le_u16)).parse(input)
}

/// Appends a request's packet: header and variables; the body goes after it as it is.
///
/// # Errors
/// [`Error::HeadTooLarge`] where the block is over the 65,535 bytes that the format can say.
pub fn encode<'a>(
    vars: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    output: &mut BytesMut,
) -> Result<(), Error> {
    let start = output.len();
    output.put_slice(&[0; Header::LEN]);
    for (name, value) in vars {
        for part in [name, value] {
            let length = u16::try_from(part.len())
                .map_err(|_| Error::HeadTooLarge(part.len(), usize::from(u16::MAX)))?;
            output.put_u16_le(length);
            output.put_slice(part);
        }
    }
    let size = output.len() - start - Header::LEN;
    let datasize = u16::try_from(size).map_err(|_| Error::HeadTooLarge(size, usize::from(u16::MAX)))?;
    let header = Header { modifier1: MODIFIER_REQUEST, datasize, modifier2: 0 };
    output[start..start + Header::LEN].copy_from_slice(&header.encode());
    Ok(())
}

#[cfg(test)]
#[path = "uwsgi_tests.rs"]
mod tests;
