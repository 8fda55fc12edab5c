//! Weights in files beside the model are mapped into memory by ONNX Runtime, and a file that is truncated afterwards would end
//! the process by SIGBUS; so such a model is loaded from a private copy, which has no name any more once it is loaded.

use super::{external::external_files, source::Source};
use std::{
    env,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What copies' folders are called, before something random.
const PREFIX: &str = "predictd-copy-";

/// Bytes that a protobuf message has at most, and so an ONNX file.
const MESSAGE_MAX: u64 = i32::MAX as u64;

/// Why a model's files cannot be had. They are named relative to the model's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model itself.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, io::Error),
    /// More than any ONNX file.
    #[error(
        "{0} has {1} bytes; an ONNX file has less than 2 GiB, larger models keep their weights in files of their own"
    )]
    TooLarge(String, u64),
    /// No room, most likely.
    #[error("its external data {0} cannot be copied to the cache: {1}")]
    Copy(String, io::Error),
    /// A link to what the model has no business with.
    #[error("its external data {0} is a link that leads out of the model's folder")]
    LeadsOut(String),
}

/// A model's file, and what keeps its copy until it is loaded.
#[derive(Debug)]
pub struct Private {
    path: PathBuf,
    files: Vec<Source>,
    /// Removed on drop: what is mapped stays.
    _folder: Option<Folder>,
}

impl Private {
    /// Copies the model at `path` and its external data to a folder of its own in `cache`, if it has external data.
    ///
    /// # Errors
    /// Where something cannot be read or written.
    pub fn of(path: &Path, cache: Option<&Path>) -> Result<Self, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unreadable = |error| Error::Unreadable(name.to_string(), error);
        let model = Source::of(path.to_owned());
        let mut file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        if size > MESSAGE_MAX {
            return Err(Error::TooLarge(name.into(), size));
        }
        let root = path.parent().unwrap_or(Path::new("."));
        let locations = external_files(&mut file).map_err(unreadable)?;
        let files =
            [model].into_iter().chain(locations.iter().map(|file| Source::of(root.join(file)))).collect();
        let there: Vec<&PathBuf> = locations.iter().filter(|file| root.join(file).is_file()).collect();
        if there.is_empty() {
            return Ok(Self { path: path.to_owned(), files, _folder: None });
        }
        if let Some(outside) = there.iter().find(|file| !lies_beside(&root.join(file), path)) {
            return Err(Error::LeadsOut(outside.display().to_string()));
        }
        let failed = |file: &Path| {
            let file = file.display().to_string();
            move |error| Error::Copy(file, error)
        };
        let folder = Folder::make(cache).map_err(failed(there[0]))?;
        let copy = folder.path.path().join("model.onnx");
        fs::copy(path, &copy).map_err(unreadable)?;
        for file in there {
            let target = folder.path.path().join(file);
            let made = target.parent().map_or(Ok(()), fs::create_dir_all);
            made.and_then(|()| fs::copy(root.join(file), target)).map_err(failed(file))?;
        }
        Ok(Self { path: copy, files, _folder: Some(folder) })
    }

    /// The file to load.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files as they lay there, the model's first.
    #[must_use]
    pub fn files(&self) -> &[Source] {
        &self.files
    }
}

/// Whether a file is in the folder of the model, be that the link's or that of the file that it leads to: stores that keep
/// every file under its hash have both beside each other.
fn lies_beside(file: &Path, model: &Path) -> bool {
    let folder = |path: &Path| path.canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned()));
    let link = model.parent().unwrap_or(Path::new(".")).canonicalize().ok();
    let Ok(file) = file.canonicalize() else { return false };
    [link, folder(model)].into_iter().flatten().any(|folder| file.starts_with(folder))
}

/// A folder for copies, locked for as long as its process lives.
#[derive(Debug)]
struct Folder {
    path: tempfile::TempDir,
    _lock: File,
    _known: Known,
}

impl Folder {
    fn make(cache: Option<&Path>) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        if let Some(cache) = cache {
            fs::create_dir_all(cache)?;
        }
        loop {
            let folder = cache.map_or_else(|| builder.tempdir(), |cache| builder.tempdir_in(cache))?;
            let lock = File::open(folder.path())?;
            lock.lock()?;
            // A server that tidies up may have had it for a moment, and removed it.
            if folder.path().is_dir() {
                let known = Known::new(folder.path());
                return Ok(Self { path: folder, _lock: lock, _known: known });
            }
        }
    }
}

/// A folder that would have to be removed if the process ended now.
#[derive(Debug)]
struct Known(PathBuf);

impl Known {
    fn new(path: &Path) -> Self {
        own().push(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        own().retain(|path| *path != self.0);
    }
}

/// All of these.
fn own() -> MutexGuard<'static, Vec<PathBuf>> {
    static OWN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the copies of loads that go on: for a process that ends without waiting for them.
pub fn remove_own() {
    let folders = own().clone();
    folders.iter().for_each(|folder| remove(folder));
}

fn remove(folder: &Path) {
    // What is just being written may come after what was removed.
    for _ in 0..10 {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {}
            _ => return,
        }
    }
}

/// Removes the copies in `cache` that servers left which were killed while they loaded.
pub fn remove_stale(cache: Option<&Path>) {
    let folder = cache.map_or_else(env::temp_dir, Path::to_owned);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let ours = |metadata: &fs::Metadata| {
            metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw()
        };
        let path = entry.path();
        if path.symlink_metadata().is_ok_and(|metadata| ours(&metadata))
            && let Ok(lock) = File::open(&path)
            && lock.try_lock().is_ok()
        {
            match fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!(path = %path.display(), "removed a copy that a killed server left"),
                Err(error) => {
                    tracing::warn!(path = %path.display(), "a copy that a killed server left cannot be removed: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::external::tests::model, *};

    #[test]
    fn only_a_model_with_external_data_is_copied_and_the_copy_goes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("model.onnx");
        fs::write(&path, model(&["w.bin"])).unwrap();
        let private = Private::of(&path, None).unwrap();
        assert_eq!(private.path(), path);
        let weights = &private.files()[1];
        assert!(weights.path().ends_with("w.bin") && weights.is_unchanged());
        fs::write(root.path().join("w.bin"), "weights").unwrap();
        assert!(!weights.is_unchanged(), "it was not there");
        let cache = root.path().join("cache");
        let private = Private::of(&path, Some(&cache)).unwrap();
        assert!(private.path().starts_with(&cache));
        assert_eq!(fs::read(private.path().with_file_name("w.bin")).unwrap(), b"weights");
        assert!(private.files().iter().all(Source::is_unchanged));
        drop(private);
        assert_eq!(fs::read_dir(cache).unwrap().count(), 0);
    }

    #[test]
    fn links_may_not_lead_out_unless_the_model_lies_there_too() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        for folder in ["m", "blobs"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let (path, blobs) = (root.path().join("m/model.onnx"), root.path().join("blobs"));
        fs::write(blobs.join("1"), model(&["w.bin"])).unwrap();
        fs::write(blobs.join("2"), "weights").unwrap();
        symlink("../blobs/2", root.path().join("m/w.bin")).unwrap();
        symlink("../blobs/1", &path).unwrap();
        assert!(Private::of(&path, None).is_ok());
        fs::remove_file(&path).unwrap();
        fs::write(&path, model(&["w.bin"])).unwrap();
        let error = Private::of(&path, None).unwrap_err().to_string();
        assert_eq!(error, "its external data w.bin is a link that leads out of the model's folder");
    }

    #[test]
    fn a_file_too_large_for_a_message_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("model.onnx");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = Private::of(&path, None).unwrap_err().to_string();
        assert!(
            error.starts_with("model.onnx has 1099511627776 bytes; an ONNX file has less than 2 GiB"),
            "{error}"
        );
    }

    #[test]
    fn a_copy_can_be_removed_while_it_is_made() {
        let cache = tempfile::tempdir().unwrap();
        let folder = Folder::make(Some(cache.path())).unwrap();
        let path = folder.path.path().to_owned();
        assert!(own().contains(&path));
        fs::create_dir(path.join("a")).unwrap();
        fs::write(path.join("a/w.bin"), "weights").unwrap();
        remove(&path);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
        drop(folder);
        assert!(!own().contains(&path));
    }

    #[test]
    fn copies_of_the_dead_are_removed_and_those_of_the_living_are_not() {
        let cache = tempfile::tempdir().unwrap();
        let living = Folder::make(Some(cache.path())).unwrap();
        let dead = Folder::make(Some(cache.path())).unwrap();
        fs::write(dead.path.path().join("w.bin"), "weights").unwrap();
        let Folder { path: dead, _lock: lock, .. } = dead;
        drop(lock);
        let dead = dead.keep();
        fs::create_dir(cache.path().join("predictd-x")).unwrap();
        remove_stale(Some(cache.path()));
        assert!(living.path.path().exists() && !dead.exists());
        assert!(cache.path().join("predictd-x").exists(), "another's");
    }
}
