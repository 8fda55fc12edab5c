//! Name-value pairs: what PARAMS and the management records hold (FastCGI Specification §3.4).
//!
//! Decoded from a complete block only, whatever records brought it. Nothing is allocated: a pair is two slices of the
//! block, and a length that runs past its end is an error before anything is done with it.

use super::Error;
use bytes::{BufMut, BytesMut};
use nom::{
    IResult, Parser,
    bytes::complete::take,
    combinator::map,
    number::complete::{be_u8, be_u32},
};

/// The longest name or value that the format can say.
const LENGTH_MAX: u32 = 0x7fff_ffff;

/// The last pair of a block is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pair of {length} bytes runs past the end of its block")]
pub struct CutOff {
    /// Length of name and value as the pair says; 0 where even the lengths are cut off.
    pub length: u64,
}

/// The pairs of a complete block, in the order sent; after an error there are no more.
pub fn decode(block: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), CutOff>> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let result = pair(rest);
        rest = result.map_or(&[], |(rest, _)| rest);
        Some(result.map(|(_, pair)| pair))
    })
}

/// A pair, and what follows it.
type Taken<'a> = (&'a [u8], (&'a [u8], &'a [u8]));

fn pair(input: &[u8]) -> Result<Taken<'_>, CutOff> {
    let (input, (name, value)) =
        (length, length).parse(input).map_err(|_: nom::Err<_>| CutOff { length: 0 })?;
    (take(name), take(value))
        .parse(input)
        .map_err(|_: nom::Err<nom::error::Error<_>>| CutOff { length: u64::from(name) + u64::from(value) })
}

/// One byte up to 127, else four with the top bit set. Four may also say what one could.
fn length(input: &[u8]) -> IResult<&[u8], u32> {
    match input.first() {
        Some(0x80..) => map(be_u32, |length| length & LENGTH_MAX).parse(input),
        _ => map(be_u8, u32::from).parse(input),
    }
}

/// Appends a pair.
///
/// # Errors
/// [`Error::TooLong`] for a name or value of more than 2,147,483,647 bytes.
pub fn encode(name: &[u8], value: &[u8], output: &mut BytesMut) -> Result<(), Error> {
    let (name_length, value_length) = (sayable(name)?, sayable(value)?);
    put_length(name_length, output);
    put_length(value_length, output);
    output.put_slice(name);
    output.put_slice(value);
    Ok(())
}

fn sayable(part: &[u8]) -> Result<u32, Error> {
    u32::try_from(part.len()).ok().filter(|length| *length <= LENGTH_MAX).ok_or(Error::TooLong(part.len()))
}

fn put_length(length: u32, output: &mut BytesMut) {
    match u8::try_from(length) {
        Ok(short @ ..0x80) => output.put_u8(short),
        _ => output.put_u32(length | 0x8000_0000),
    }
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
mod tests;
