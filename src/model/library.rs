//! Finding ONNX Runtime's shared library, and making sure that it is whole before it is opened: a truncated one would
//! end the process by SIGBUS.

use sha2::{Digest, Sha256};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// What the file is called, up to its version.
const STEM: &str = "libonnxruntime.so";

/// Why no library can be opened.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// In none of the places.
    #[error(
        "ONNX Runtime's library is nowhere to be found; looked at:\n{}\nget it by `pip install 'onnxruntime>=1.24,<1.29'` \
         in an activated virtual environment, or by scripts/onnxruntime.py of the source, or name it in [onnxruntime] library",
        .0.iter().map(|place| format!("  {place}")).collect::<Vec<_>>().join("\n")
    )]
    NotFound(Vec<String>),
    /// It was fetched, and is not what was fetched.
    #[error("{path} is damaged ({reason}); fetch it again")]
    Damaged {
        /// The library.
        path: PathBuf,
        /// In which way.
        reason: String,
    },
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
}

/// Finds the library: `configured`, else `ORT_DYLIB_PATH`, else beside the program, else in the `lib` beside that or in our own
/// folder there, else in the activated virtual environment.
///
/// # Errors
/// The places that were looked at, or what is wrong with the file found.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, LibraryError> {
    let explicit = configured
        .map(|path| (path.to_owned(), "[onnxruntime] library"))
        .or_else(|| env::var_os("ORT_DYLIB_PATH").map(|path| (path.into(), "ORT_DYLIB_PATH")));
    if let Some((path, source)) = explicit {
        return if path.is_file() {
            verify(path)
        } else {
            Err(LibraryError::NotFound(vec![format!("{} ({source})", path.display())]))
        };
    }
    let folders =
        folders(env::current_exe().ok().as_deref(), env::var_os("VIRTUAL_ENV").map(PathBuf::from).as_deref());
    for folder in &folders {
        if let Some(path) = library_in(folder) {
            return verify(path);
        }
    }
    let looked = folders.iter().map(|folder| format!("{}/{STEM}*", folder.display()));
    Err(LibraryError::NotFound(
        ["[onnxruntime] library (not set)".into(), "ORT_DYLIB_PATH (not set)".into()]
            .into_iter()
            .chain(looked)
            .collect(),
    ))
}

fn folders(program: Option<&Path>, environment: Option<&Path>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    // Cargo puts examples and tests a folder deeper than programs.
    let deeper = |folder: &&Path| folder.ends_with("examples") || folder.ends_with("deps");
    let beside = program.and_then(Path::parent);
    if let Some(beside) = beside.filter(deeper).map_or(beside, Path::parent) {
        folders.push(beside.to_owned());
        folders.extend(
            beside.parent().into_iter().flat_map(|above| [above.join("lib"), above.join("lib/predictd")]),
        );
        // A program installed by pip lies in the environment's bin, activated or not.
        folders.extend(beside.parent().into_iter().flat_map(site_packages));
    }
    folders.extend(environment.into_iter().flat_map(site_packages));
    folders.dedup();
    folders
}

/// Where a virtual environment keeps the library.
fn site_packages(environment: &Path) -> Vec<PathBuf> {
    let pythons = fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    pythons
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .map(|entry| entry.path().join("site-packages/onnxruntime/capi"))
        .collect()
}

/// The newest library of a folder.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let version = |name: &str| -> Option<Vec<u32>> {
        let version = name.strip_prefix(STEM)?;
        if version.is_empty() {
            return Some(Vec::new());
        }
        version.strip_prefix('.')?.split('.').map(|part| part.parse().ok()).collect()
    };
    entries
        .filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path())))
        .max()
        .map(|(_, path)| path)
}

/// Checks the library against the sum that was written beside it when it was fetched; without one, it is somebody
/// else's to vouch for.
fn verify(path: PathBuf) -> Result<PathBuf, LibraryError> {
    let sums =
        path.with_file_name(format!("{}.sha256", path.file_name().unwrap_or_default().to_string_lossy()));
    let damaged = |reason: String| Err(LibraryError::Damaged { path: path.clone(), reason });
    let Ok(text) = fs::read_to_string(sums) else {
        let length =
            fs::metadata(&path).map_err(|error| LibraryError::Unreadable(path.clone(), error))?.len();
        return if length == 0 { damaged("it is empty".into()) } else { Ok(path) };
    };
    let expected = text.split_whitespace().next().unwrap_or_default();
    let bytes = fs::read(&path).map_err(|error| LibraryError::Unreadable(path.clone(), error))?;
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if sum == expected {
        Ok(path)
    } else {
        damaged(format!("{} bytes of sha256 {sum}, expected {expected}", bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_library_of_a_folder_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(library_in(folder.path()), None);
        for name in
            ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.28.0", "libonnxruntime.so.1.28.0.sha256", "x.so"]
        {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        assert_eq!(library_in(folder.path()), Some(folder.path().join("libonnxruntime.so.1.28.0")));
    }

    #[test]
    fn a_fetched_library_must_have_its_sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so.1");
        fs::write(&path, "library").unwrap();
        assert!(verify(path.clone()).is_ok());
        let sum = "85cdb8e28ad8463bd5ec0d71155bd32df8f1eeca32a17e1c8a9ef5a3fe4fb0a2";
        fs::write(folder.path().join("libonnxruntime.so.1.sha256"), format!("{sum}  libonnxruntime.so.1\n"))
            .unwrap();
        let error = verify(path.clone()).unwrap_err().to_string();
        assert!(error.contains("is damaged (7 bytes of sha256 "), "{error}");
        fs::write(&path, "").unwrap();
        assert!(verify(path).unwrap_err().to_string().contains("is damaged (0 bytes"));
    }

    #[test]
    fn the_places_are_named_when_all_are_empty() {
        let error = find(Some(Path::new("/nowhere/lib.so"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/lib.so ([onnxruntime] library)"), "{error}");
        let looked = folders(Some(Path::new("/opt/predictd/bin/predictd")), Some(Path::new("/venv")));
        assert_eq!(
            looked,
            ["/opt/predictd/bin", "/opt/predictd/lib", "/opt/predictd/lib/predictd"].map(Path::new)
        );
        let looked = folders(Some(Path::new("/src/target/debug/examples/handler")), None);
        assert_eq!(
            looked,
            ["/src/target/debug", "/src/target/lib", "/src/target/lib/predictd"].map(Path::new)
        );
    }
}
