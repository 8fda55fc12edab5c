//! What an ONNX file says of itself: who made it, and what its maker wrote down. By the field numbers of onnx.proto.

use super::protobuf::{Reader, Value};
use std::{
    fs::File,
    io::{self, Read, Seek},
    path::Path,
};

/// The head of a model; empty where the file says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Version of ONNX's own format.
    pub ir_version: Option<u64>,
    /// Which program wrote the file.
    pub producer: String,
    /// Its version.
    pub producer_version: String,
    /// Whose model it is, in reverse-DNS form.
    pub domain: String,
    /// The maker's own count.
    pub model_version: Option<u64>,
    /// What it is, in words.
    pub description: String,
    /// Operator sets by domain; the empty domain is ONNX's own.
    pub opsets: Vec<(String, u64)>,
    /// Whatever else the maker wrote down.
    pub properties: Vec<(String, String)>,
}

/// Bytes of a text that are worth reading.
const TEXT_MAX: u64 = 1 << 20;

/// Properties that are worth reading.
const PROPERTIES_MAX: usize = 1000;

impl Metadata {
    /// Reads the head of the model at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, or is no protobuf message.
    pub fn of(path: &Path) -> io::Result<Self> {
        Self::read(&mut Reader::new(File::open(path)?))
    }

    fn read<R: Read + Seek>(reader: &mut Reader<R>) -> io::Result<Self> {
        let mut all = Self::default();
        while let Some((number, value)) = reader.field(u64::MAX)? {
            match (number, value) {
                (1, Value::Number(version)) => all.ir_version = Some(version),
                (5, Value::Number(version)) => all.model_version = Some(version),
                (2, Value::Bytes(length)) => all.producer = text(reader, length)?,
                (3, Value::Bytes(length)) => all.producer_version = text(reader, length)?,
                (4, Value::Bytes(length)) => all.domain = text(reader, length)?,
                (6, Value::Bytes(length)) => all.description = text(reader, length)?,
                (8, Value::Bytes(length)) => {
                    let (domain, _, version) = entry(reader, length)?;
                    all.opsets.push((domain, version));
                }
                (14, Value::Bytes(length)) if all.properties.len() < PROPERTIES_MAX => {
                    let (key, value, _) = entry(reader, length)?;
                    all.properties.push((key, value));
                }
                (_, Value::Bytes(length)) => reader.skip(length)?,
                (_, Value::Number(_)) => {}
            }
        }
        Ok(all)
    }
}

/// Two texts, or a text and a number: `OperatorSetIdProto` and `StringStringEntryProto`.
fn entry<R: Read + Seek>(reader: &mut Reader<R>, length: u64) -> io::Result<(String, String, u64)> {
    let (mut first, mut second, mut number) = (String::new(), String::new(), 0);
    let end = reader.at() + length;
    while let Some((field, value)) = reader.field(end)? {
        match (field, value) {
            (1, Value::Bytes(length)) => first = text(reader, length)?,
            (2, Value::Bytes(length)) => second = text(reader, length)?,
            (2, Value::Number(value)) => number = value,
            (_, Value::Bytes(length)) => reader.skip(length)?,
            (_, Value::Number(_)) => {}
        }
    }
    Ok((first, second, number))
}

fn text<R: Read + Seek>(reader: &mut Reader<R>, length: u64) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&reader.bytes(length, TEXT_MAX)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()][..], content].concat()
    }

    fn read(bytes: &[u8]) -> io::Result<Metadata> {
        Metadata::read(&mut Reader::new(Cursor::new(bytes)))
    }

    #[test]
    fn what_a_model_says_of_itself_is_read_and_the_graph_is_not() {
        let property = |key: &str, value: &str| {
            field(14, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
        };
        let model = [
            vec![1 << 3, 8],
            field(2, b"pytorch"),
            field(3, b"2.1"),
            field(7, &[0xff; 40]),
            field(8, &[field(1, b""), vec![2 << 3, 17]].concat()),
            field(8, &[field(1, b"ai.onnx.ml"), vec![2 << 3, 3]].concat()),
            property("names", "cat, dog"),
            property("stride", "32"),
            vec![5 << 3, 2],
            field(6, "für alle".as_bytes()),
        ]
        .concat();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = Metadata {
            ir_version: Some(8),
            producer: "pytorch".into(),
            producer_version: "2.1".into(),
            domain: String::new(),
            model_version: Some(2),
            description: "für alle".into(),
            opsets: vec![(String::new(), 17), ("ai.onnx.ml".into(), 3)],
            properties: vec![pair("names", "cat, dog"), pair("stride", "32")],
        };
        assert_eq!(read(&model).unwrap(), expected);
        assert_eq!(read(b"").unwrap(), Metadata::default());
    }

    #[test]
    fn what_is_no_message_is_an_error_and_no_more() {
        for bytes in [
            &b"hello"[..],
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x12\x05ab",
            b"\x42\x02\x0a\x7f",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
