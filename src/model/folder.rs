//! A model repository on disk, laid out as Triton has it: a folder a model, a folder a version.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

/// What a model is called: 1 to 128 of `[A-Za-z0-9._-]`, and not `stats`, whose URL is taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(String);

impl ModelName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ModelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ModelName {
    type Err = FolderError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=128).contains(&name.len())
            && name.bytes().all(plain)
            && name != "stats"
            && !name.starts_with("..")
        {
            Ok(Self(name.to_owned()))
        } else {
            Err(FolderError::Name(name.to_owned()))
        }
    }
}

/// What lies in a model's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFolder {
    /// The folder's name.
    pub name: ModelName,
    /// Each version's file, lowest first; none where there is only a `model.toml`.
    pub versions: Vec<(u64, PathBuf)>,
    /// `model.toml`, if there is one.
    pub settings: Option<PathBuf>,
    /// `labels.txt`, if there is one.
    pub labels: Option<PathBuf>,
    /// The folder; for a bare file, the folder that it lies in.
    pub root: PathBuf,
}

/// An entry of a repository that may be a model.
#[derive(Debug)]
pub struct Found {
    /// What it is called, which may be no name for a model.
    pub name: String,
    /// The model, or what is wrong with it.
    pub folder: Result<ModelFolder, FolderError>,
}

/// Why a repository or a model's folder is of no use. Files are named relative to the model's folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The name does not fit into a URL.
    #[error("'{0}' is no name for a model: 1 to 128 letters, digits, '.', '_' or '-', and not 'stats'")]
    Name(String),
    /// The repository cannot be listed.
    #[error("{0} cannot be read: {1}")]
    Repository(PathBuf, io::Error),
    /// The model's folder cannot be listed.
    #[error("its folder cannot be read: {0}")]
    Unlistable(io::Error),
    /// Nothing can be said of a file.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, io::Error),
    /// A folder, say, where there should be a file.
    #[error("{0} is there, but it is no file")]
    NotAFile(String),
    /// A link that leads nowhere.
    #[error("{0} is a link to nowhere")]
    Dangling(String),
    /// `NAME.onnx` beside `NAME/`.
    #[error("it is there twice, as a folder and as {0}.onnx; remove one")]
    Twice(String),
    /// A model file beside versions.
    #[error("it has both a model.onnx and folders of versions; keep one or the other")]
    Mixed,
    /// Nothing to serve.
    #[error("its folder holds no model: neither a model.onnx, nor a version's folder with one")]
    Empty,
}

/// Lists what a repository holds, by name: folders, which need not be models ([`FolderError::Empty`]), and bare models. Other
/// files are left alone, and hidden ones.
///
/// # Errors
/// Where it cannot be listed.
pub fn scan(repository: &Path) -> Result<Vec<Found>, FolderError> {
    let unreadable = |error| FolderError::Repository(repository.to_owned(), error);
    let mut all: Vec<Found> = Vec::new();
    for entry in list(repository).map_err(unreadable)? {
        let Some(file_name) = entry.file_name().and_then(|name| name.to_str()) else { continue };
        if file_name.starts_with('.') {
            continue;
        }
        let (name, folder) = if entry.is_dir() {
            (file_name, read_folder(file_name, &entry))
        } else if let Some(name) = file_name.strip_suffix(".onnx") {
            (name, bare_file(name, &entry))
        } else {
            continue;
        };
        all.push(Found { name: name.to_owned(), folder });
    }
    // A folder that is no model may well lie beside a bare one.
    all.sort_by(|a, b| (&a.name, a.is_empty()).cmp(&(&b.name, b.is_empty())));
    all.dedup_by(|later, first| {
        let same = later.name == first.name;
        if same && !later.is_empty() {
            first.folder = Err(FolderError::Twice(first.name.clone()));
        }
        same
    });
    Ok(all)
}

impl Found {
    /// Whether it is a folder without a model.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.folder, Err(FolderError::Empty))
    }
}

/// Reads one model, a folder or a bare file, under a name of the caller's choice.
#[must_use]
pub fn open(name: &str, path: &Path) -> Found {
    let folder = if path.is_dir() { read_folder(name, path) } else { bare_file(name, path) };
    Found { name: name.to_owned(), folder }
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

fn bare_file(name: &str, path: &Path) -> Result<ModelFolder, FolderError> {
    Ok(ModelFolder {
        name: name.parse()?,
        versions: vec![(1, path.to_owned())],
        settings: None,
        labels: None,
        root: path.parent().unwrap_or(Path::new(".")).to_owned(),
    })
}

fn read_folder(name: &str, root: &Path) -> Result<ModelFolder, FolderError> {
    let mut versions: Vec<(u64, PathBuf)> = Vec::new();
    for path in list(root).map_err(FolderError::Unlistable)? {
        let number = path.file_name().and_then(|name| name.to_str()).and_then(version);
        let Some(number) = number else { continue };
        versions.extend(file(root, &format!("{number}/model.onnx"))?.map(|model| (number, model)));
    }
    versions.sort();
    let single = file(root, "model.onnx")?;
    let settings = file(root, "model.toml")?;
    if single.is_none() && versions.is_empty() && settings.is_none() {
        return Err(FolderError::Empty);
    }
    let name: ModelName = name.parse()?;
    match single {
        Some(_) if !versions.is_empty() => return Err(FolderError::Mixed),
        Some(model) => versions.push((1, model)),
        None => {}
    }
    Ok(ModelFolder { name, versions, settings, labels: file(root, "labels.txt")?, root: root.to_owned() })
}

/// As Triton reads it: no zeros in front.
fn version(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

/// The file of that name, if there is one.
fn file(root: &Path, name: &str) -> Result<Option<PathBuf>, FolderError> {
    let path = root.join(name);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(path)),
        Ok(_) => Err(FolderError::NotAFile(name.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.is_symlink() {
                Err(FolderError::Dangling(name.to_owned()))
            } else {
                Ok(None)
            }
        }
        // A file where a version's folder could be.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(FolderError::Unreadable(name.to_owned(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn check(files: &[&str], expected: &[(&str, &[u64])]) {
        let root = repository(files);
        let models = scan(root.path()).unwrap();
        let found: Vec<(&str, Vec<u64>)> = models
            .iter()
            .filter(|found| !found.is_empty())
            .map(|found| found.folder.as_ref().unwrap())
            .map(|model| (model.name.as_str(), model.versions.iter().map(|(version, _)| *version).collect()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(name, versions)| (*name, versions.to_vec())).collect();
        assert_eq!(found, expected, "{files:?}");
    }

    #[test]
    fn folders_versions_and_bare_files_are_models() {
        check(&["b/model.onnx", "b/model.toml", "a.onnx"], &[("a", &[1]), ("b", &[1])]);
        check(&["a/10/model.onnx", "a/9/model.onnx", "a/labels.txt"], &[("a", &[9, 10])]);
    }

    #[test]
    fn other_files_are_left_alone() {
        check(
            &["README.md", "fetch.py", "docs/x.txt", ".git/model.onnx", "a/model.onnx", "a/samples/7.png"],
            &[("a", &[1])],
        );
        check(&["a/model.onnx", "a/2/notes.txt", "a/03/model.onnx", "a/4"], &[("a", &[1])]);
        check(&["a/model.toml"], &[("a", &[])]);
        check(&[], &[]);
    }

    #[test]
    fn what_is_ambiguous_is_said_to_be() {
        let check = |files: &[&str], says: &str| {
            let root = repository(files);
            let [found] = &scan(root.path()).unwrap()[..] else { panic!("{files:?}") };
            assert_eq!(found.folder.as_ref().unwrap_err().to_string(), says);
        };
        check(&["a.onnx", "a/model.onnx"], "it is there twice, as a folder and as a.onnx; remove one");
        check(
            &["a/model.onnx", "a/1/model.onnx"],
            "it has both a model.onnx and folders of versions; keep one or the other",
        );
        let name = |name: &str| {
            format!(
                "'{name}' is no name for a model: 1 to 128 letters, digits, '.', '_' or '-', and not 'stats'"
            )
        };
        check(&["a b/model.onnx"], &name("a b"));
        check(&["stats.onnx"], &name("stats"));
        check(&["a/model.onnx/x"], "model.onnx is there, but it is no file");
        check(&["a/3/model.onnx/x"], "3/model.onnx is there, but it is no file");
        check(
            &["a/x.txt"],
            "its folder holds no model: neither a model.onnx, nor a version's folder with one",
        );
        let error = scan(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere cannot be read: No such file"), "{error}");
    }

    #[test]
    fn links_are_followed_and_must_lead_somewhere() {
        use std::os::unix::fs::symlink;
        let root = repository(&["elsewhere.bin", "a/labels.txt"]);
        let model = root.path().join("a/model.onnx");
        symlink(root.path().join("elsewhere.bin"), &model).unwrap();
        assert!(open("a", &root.path().join("a")).folder.is_ok());
        fs::remove_file(root.path().join("elsewhere.bin")).unwrap();
        let error = open("a", &root.path().join("a")).folder.unwrap_err().to_string();
        assert_eq!(error, "model.onnx is a link to nowhere");
        fs::remove_file(&model).unwrap();
        symlink(&model, &model).unwrap();
        let error = open("a", &root.path().join("a")).folder.unwrap_err().to_string();
        assert!(error.starts_with("model.onnx cannot be read: Too many levels of symbolic links"), "{error}");
    }
}
