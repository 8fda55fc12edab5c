//! Fields of protobuf messages, one after the other as they lie in a file; of what nobody wants, no more is read than where it
//! ends.

use std::io::{self, BufReader, ErrorKind, Read, Seek};

/// Goes through a file's fields.
#[derive(Debug)]
pub(super) struct Reader<R> {
    from: BufReader<R>,
    at: u64,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    /// So many bytes, which come next: a text, a message.
    Bytes(u64),
}

impl<R: Read + Seek> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from: BufReader::new(from), at: 0 }
    }

    /// Where the next field begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The number and value of the next field, of a message that ends at `end` or where the file does.
    pub(super) fn field(&mut self, end: u64) -> io::Result<Option<(u64, Value)>> {
        if self.at >= end {
            return Ok(None);
        }
        let tag = match self.varint() {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && end == u64::MAX => return Ok(None),
            tag => tag?,
        };
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(8),
            2 => Value::Bytes(self.varint()?),
            5 => Value::Bytes(4),
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        if let Value::Bytes(length) = value
            && self.at.checked_add(length).is_none_or(|field_end| field_end > end)
        {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Some((tag >> 3, value)))
    }

    /// Reads the bytes of a field, which are `most` at most.
    pub(super) fn bytes(&mut self, length: u64, most: u64) -> io::Result<Vec<u8>> {
        if length > most {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| ErrorKind::InvalidData)?];
        self.from.read_exact(&mut bytes)?;
        self.at += length;
        Ok(bytes)
    }

    /// Passes over the bytes of a field.
    pub(super) fn skip(&mut self, length: u64) -> io::Result<()> {
        self.from.seek_relative(i64::try_from(length).map_err(|_| ErrorKind::InvalidData)?)?;
        self.at += length;
        Ok(())
    }

    /// A number of up to 64 bits, in base 128, lowest first.
    fn varint(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.from.read_exact(&mut byte)?;
            self.at += 1;
            number |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(number);
            }
        }
        Err(ErrorKind::InvalidData.into())
    }
}
