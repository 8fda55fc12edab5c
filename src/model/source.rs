//! A file that something was made of, and whether it is still the same: by what the kernel says of it, without reading it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A file as it was before it was read; or that there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl Source {
    /// The file that `path` leads to now, by links or not.
    #[must_use]
    pub fn of(path: PathBuf) -> Self {
        let stamp = Stamp::of(&path).ok();
        Self { path, stamp }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody has touched it since.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        Stamp::of(&self.path).ok() == self.stamp
    }
}

/// The time of the last change of any kind is in it, which only the clock sets: what keeps the size and date of the file
/// that it replaces is seen as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_until_anything_is_done_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        assert!(Source::of(file.clone()).is_unchanged(), "there was none and is none");
        fs::write(&file, "one").unwrap();
        let source = Source::of(file.clone());
        assert!(source.is_unchanged());
        fs::write(&other, "two").unwrap();
        let date = fs::metadata(&file).unwrap().modified().unwrap();
        fs::File::open(&other).unwrap().set_modified(date).unwrap();
        fs::rename(&other, &file).unwrap();
        assert!(!source.is_unchanged(), "replaced by one of the same size and date");
        let source = Source::of(file.clone());
        fs::remove_file(&file).unwrap();
        assert!(!source.is_unchanged());
    }
}
