//! Weights in files beside the model: which those are.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

/// The values of every `location` in a model: entries of `TensorProto.external_data`, `{1: "location", 2: path}` in onnx.proto.
/// Bytes that only look like one name no file, most likely; and a file too many does no harm. Paths that lead out of the
/// folder are left out: ONNX Runtime refuses them.
pub(super) fn external_files(model: &mut impl Read) -> io::Result<BTreeSet<PathBuf>> {
    const CHUNK: u64 = 1 << 20;
    /// Bytes of an entry: the key, a length, a path.
    const ENTRY_MAX: usize = KEY.len() + 2 + 0x3fff;
    let mut files = BTreeSet::new();
    let mut window = Vec::new();
    while model.by_ref().take(CHUNK).read_to_end(&mut window)? > 0 {
        find(&window, &mut files);
        // An entry may have been cut.
        window.drain(..window.len().saturating_sub(ENTRY_MAX));
    }
    Ok(files)
}

const KEY: &[u8] = b"\x0a\x08location\x12";

fn find(window: &[u8], files: &mut BTreeSet<PathBuf>) {
    let mut rest = window;
    while let Some(at) = rest.windows(KEY.len()).position(|window| window == KEY) {
        rest = &rest[at + KEY.len()..];
        // A length of up to 127, or of up to 16383 in two bytes: base 128, lowest first.
        let (length, begin) = match rest {
            [one, ..] if *one < 0x80 => (usize::from(*one), 1),
            [one, two, ..] if *two < 0x80 => (usize::from(one & 0x7f) | usize::from(*two) << 7, 2),
            _ => continue,
        };
        let text = rest.get(begin..begin + length).and_then(|text| std::str::from_utf8(text).ok());
        let inside = |path: &Path| {
            path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        };
        files.extend(text.filter(|text| !text.is_empty()).map(PathBuf::from).filter(|path| inside(path)));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Bytes that name these files as a model does.
    pub(in super::super) fn model(locations: &[&str]) -> Vec<u8> {
        let entry =
            |path: &&str| [b"\x0a\x08location\x12", &[path.len() as u8][..], path.as_bytes()].concat();
        [&b"\x08\x07"[..], &locations.iter().flat_map(entry).collect::<Vec<_>>(), b"\x12\x00"].concat()
    }

    fn found(bytes: &[u8]) -> Vec<PathBuf> {
        external_files(&mut &*bytes).unwrap().into_iter().collect()
    }

    #[test]
    fn locations_inside_of_the_folder_are_found() {
        let model = model(&["weights.bin", "a/b", "../x", "/etc/passwd", "weights.bin"]);
        assert_eq!(found(&model), ["a/b", "weights.bin"].map(PathBuf::from));
        assert!(found(b"\x0a\x08location\x12\x7fshort").is_empty());
        assert!(found(b"\x0a\x08location\x12").is_empty());
    }

    #[test]
    fn a_location_is_found_wherever_the_file_is_cut_into_pieces() {
        for before in (1 << 20) - 20..=1 << 20 {
            let bytes = [vec![7; before], model(&["w.bin"]), vec![7; 1 << 10]].concat();
            assert_eq!(found(&bytes), [PathBuf::from("w.bin")], "{before}");
        }
    }
}
