//! Weights in files beside the model. ONNX Runtime maps them into memory, and a file that is truncated afterwards would end
//! the process by SIGBUS; so such a model is loaded from a private copy, which has no name any more once it is loaded.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// A model's file, and what keeps its copy until it is loaded.
#[derive(Debug)]
pub struct Private {
    path: PathBuf,
    /// Removed on drop: what is mapped stays.
    _folder: Option<tempfile::TempDir>,
}

impl Private {
    /// Copies the model at `path` and its external data to a folder of its own in `cache`, if it has external data.
    ///
    /// # Errors
    /// Where something cannot be read or written.
    pub fn of(path: &Path, cache: Option<&Path>) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let files = external_files(&bytes);
        let root = path.parent().unwrap_or(Path::new("."));
        let there: Vec<&PathBuf> = files.iter().filter(|file| root.join(file).is_file()).collect();
        if there.is_empty() {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix("predictd-");
        let folder = match cache {
            Some(cache) => {
                fs::create_dir_all(cache)?;
                builder.tempdir_in(cache)?
            }
            None => builder.tempdir()?,
        };
        let copy = folder.path().join("model.onnx");
        fs::write(&copy, bytes)?;
        for file in there {
            let target = folder.path().join(file);
            target.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::copy(root.join(file), target)?;
        }
        Ok(Self { path: copy, _folder: Some(folder) })
    }

    /// The file to load.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The values of every `location` in a model: entries of `TensorProto.external_data`, `{1: "location", 2: path}` in onnx.proto.
/// Bytes that only look like one name no file, most likely; and a file too many does no harm. Paths that lead out of the
/// folder are left out: ONNX Runtime refuses them.
fn external_files(model: &[u8]) -> BTreeSet<PathBuf> {
    const KEY: &[u8] = b"\x0a\x08location\x12";
    let mut files = BTreeSet::new();
    let mut rest = model;
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
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(locations: &[&str]) -> Vec<u8> {
        let entry =
            |path: &&str| [b"\x0a\x08location\x12", &[path.len() as u8][..], path.as_bytes()].concat();
        [&b"\x08\x07"[..], &locations.iter().flat_map(entry).collect::<Vec<_>>(), b"\x12\x00"].concat()
    }

    #[test]
    fn locations_inside_of_the_folder_are_found() {
        let found = external_files(&model(&["weights.bin", "a/b", "../x", "/etc/passwd", "weights.bin"]));
        assert_eq!(found, ["a/b", "weights.bin"].map(PathBuf::from).into());
        assert!(external_files(b"\x0a\x08location\x12\x7fshort").is_empty());
        assert!(external_files(b"\x0a\x08location\x12").is_empty());
    }

    #[test]
    fn only_a_model_with_external_data_is_copied_and_the_copy_goes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("model.onnx");
        fs::write(&path, model(&["w.bin"])).unwrap();
        assert_eq!(Private::of(&path, None).unwrap().path(), path);
        fs::write(root.path().join("w.bin"), "weights").unwrap();
        let cache = root.path().join("cache");
        let private = Private::of(&path, Some(&cache)).unwrap();
        assert!(private.path().starts_with(&cache));
        assert_eq!(fs::read(private.path().with_file_name("w.bin")).unwrap(), b"weights");
        drop(private);
        assert_eq!(fs::read_dir(cache).unwrap().count(), 0);
    }
}
