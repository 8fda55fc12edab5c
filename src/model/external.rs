//! Weights in files beside the model: which those are.

use super::protobuf::{Reader, Value};
use std::{
    collections::BTreeSet,
    io::{self, ErrorKind, Read, Seek},
    path::{Component, Path, PathBuf},
};

/// The files that a model's tensors are said to lie in, but for paths that lead out of the folder: ONNX Runtime refuses them.
/// Of what is no model, as many as there are before that shows: ONNX Runtime says what is wrong.
pub(super) fn external_files<R: Read + Seek>(model: R) -> io::Result<BTreeSet<PathBuf>> {
    let mut walk = Walk { model: Reader::new(model), files: BTreeSet::new() };
    match walk.message(Message::Model, u64::MAX, 0) {
        Err(error) if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => {
            Err(error)
        }
        _ => Ok(walk.files),
    }
}

/// The messages of onnx.proto that a tensor may lie in.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Training,
    Sparse,
    Tensor,
    /// Of `TensorProto.external_data`.
    Entry,
}

impl Message {
    /// What lies in a field, if that is of interest.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) | (Self::Training, 1 | 2) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Tensor, 13) => Self::Entry,
            _ => return None,
        })
    }
}

/// Messages that lie in each other: as many as protobuf itself takes.
const MAX_DEPTH: usize = 100;

/// Bytes of a path, at most.
const MAX_PATH: u64 = 4096;

/// Goes through a model's messages.
struct Walk<R> {
    model: Reader<R>,
    files: BTreeSet<PathBuf>,
}

impl<R: Read + Seek> Walk<R> {
    /// Goes through a message that ends at `end`, or where the file does.
    fn message(&mut self, message: Message, end: u64, depth: usize) -> io::Result<()> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        while let Some((number, field)) = self.model.field(end)? {
            let Value::Bytes(length) = field else { continue };
            match (message, number, message.field(number)) {
                (Message::Entry, 1, _) if length <= MAX_PATH => key = self.model.bytes(length, MAX_PATH)?,
                (Message::Entry, 2, _) if length <= MAX_PATH => value = self.model.bytes(length, MAX_PATH)?,
                (_, _, Some(inside)) if depth < MAX_DEPTH => {
                    self.message(inside, self.model.at() + length, depth + 1)?;
                }
                _ => self.model.skip(length)?,
            }
        }
        let is_inside = |path: &Path| {
            path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        };
        if key == b"location" && !value.is_empty() {
            let path = String::from_utf8(value).map(PathBuf::from).ok();
            self.files.extend(path.filter(|path| is_inside(path)));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let tag = u32::from(number) << 3 | 2;
        [&varint(tag as usize)[..], &varint(content.len()), content].concat()
    }

    fn varint(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push(number as u8 & 0x7f | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    fn tensor(location: &str) -> Vec<u8> {
        let entry = |key: &str, value: &str| {
            field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
        };
        [entry("offset", "0"), entry("location", location), vec![14 << 3, 1], vec![9 << 3 | 5, 0, 0, 0, 0]]
            .concat()
    }

    /// A model whose tensors lie in these files.
    pub(in super::super) fn model(locations: &[&str]) -> Vec<u8> {
        let tensors = locations.iter().flat_map(|location| field(5, &tensor(location)));
        [vec![8, 7], field(7, &tensors.collect::<Vec<_>>()), field(8, &[16, 13])].concat()
    }

    fn found(model: &[u8]) -> Vec<String> {
        let files = external_files(io::Cursor::new(model)).unwrap();
        files.into_iter().map(|file| file.into_os_string().into_string().unwrap()).collect()
    }

    #[test]
    fn locations_inside_of_the_folder_are_found() {
        let whole = model(&["weights.bin", "a/b", "../x", "/etc/passwd", "weights.bin", "", "a/../../x"]);
        assert_eq!(found(&whole), ["a/b", "weights.bin"]);
        // Cut off anywhere, it is what ONNX Runtime refuses.
        (0..whole.len()).for_each(|end| drop(found(&whole[..end])));
    }

    #[test]
    fn a_tensor_may_lie_anywhere_in_a_model() {
        let attribute = |number| field(5, &field(number, &tensor("w")));
        let sparse = |number| field(number, &field(1, &tensor("w")));
        let subgraph = field(5, &field(6, &field(1, &attribute(5))));
        for (place, tensors) in [
            ("a node's attribute", field(7, &field(1, &attribute(5)))),
            ("a list in one", field(7, &field(1, &attribute(10)))),
            ("a graph in one", field(7, &field(1, &subgraph))),
            ("graphs in one", field(7, &field(1, &field(5, &field(11, &field(5, &tensor("w"))))))),
            ("a sparse tensor", field(7, &sparse(15))),
            ("a sparse tensor of an attribute", field(7, &field(1, &field(5, &sparse(22))))),
            ("a function", field(25, &field(7, &attribute(5)))),
            ("a function's default", field(25, &field(11, &field(5, &tensor("w"))))),
            ("training", field(20, &field(2, &field(5, &tensor("w"))))),
        ] {
            assert_eq!(found(&tensors), ["w"], "{place}");
        }
    }

    #[test]
    fn what_only_looks_like_a_location_is_none() {
        let text = field(7, &field(10, &tensor("weights.bin")));
        assert_eq!(found(&text), [""; 0], "the graph's documentation");
        let raw = field(7, &field(5, &field(9, &tensor("weights.bin"))));
        assert_eq!(found(&raw), [""; 0], "a tensor's own data");
        let within = |graphs: usize| {
            let attribute = |inside: Vec<u8>| field(6, &field(1, &field(5, &inside)));
            let innermost = field(5, &tensor("w"));
            found(&field(
                7,
                &field(1, &field(5, &(0..graphs).fold(innermost, |inside, _| attribute(inside)))),
            ))
        };
        assert_eq!((within(20), within(50)), (vec!["w".to_owned()], vec![]), "deeper than protobuf goes");
        for broken in [
            &b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..],
            b"\x3b",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(found(broken), [""; 0]);
        }
    }
}
