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

/// Why a repository cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The name does not fit into a URL.
    #[error("'{0}' is no name for a model: 1 to 128 letters, digits, '.', '_' or '-', and not 'stats'")]
    Name(String),
    /// The folder cannot be listed.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// `NAME.onnx` beside `NAME/`.
    #[error("'{0}' is there twice, as a folder and as {0}.onnx; remove one")]
    Twice(ModelName),
    /// A model file beside versions.
    #[error("'{0}' has both a model.onnx and folders of versions; keep one or the other")]
    Mixed(ModelName),
    /// Nothing to serve.
    #[error("{0} holds no model: neither a model.onnx, nor a version's folder with one")]
    Empty(PathBuf),
}

/// Lists the models of a repository, by name. Files and folders that are no models are left alone.
///
/// # Errors
/// What is wrong with the repository.
pub fn scan(repository: &Path) -> Result<Vec<ModelFolder>, FolderError> {
    let mut models: Vec<ModelFolder> = Vec::new();
    for entry in list(repository)? {
        let Some(file_name) = entry.file_name().and_then(|name| name.to_str()) else { continue };
        if file_name.starts_with('.') {
            continue;
        }
        let model = if entry.is_dir() {
            match read_folder(file_name, &entry) {
                Err(FolderError::Empty(_)) => continue,
                model => model?,
            }
        } else if let Some(name) = file_name.strip_suffix(".onnx") {
            bare_file(name, &entry)?
        } else {
            continue;
        };
        models.push(model);
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = models.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(FolderError::Twice(pair[0].name.clone()));
    }
    Ok(models)
}

/// Reads one model, a folder or a bare file, under a name of the caller's choice.
///
/// # Errors
/// What is wrong with it.
pub fn open(name: &str, path: &Path) -> Result<ModelFolder, FolderError> {
    if path.is_dir() { read_folder(name, path) } else { bare_file(name, path) }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let unreadable = |error| FolderError::Unreadable(folder.to_owned(), error);
    fs::read_dir(folder).map_err(unreadable)?.map(|entry| Ok(entry.map_err(unreadable)?.path())).collect()
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
    let there = |file: &str| Some(root.join(file)).filter(|path| path.is_file());
    let mut versions: Vec<(u64, PathBuf)> = list(root)?
        .into_iter()
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path.join("model.onnx"))))
        .filter(|(_, model)| model.is_file())
        .collect();
    versions.sort();
    let single = there("model.onnx");
    let settings = there("model.toml");
    if single.is_none() && versions.is_empty() && settings.is_none() {
        return Err(FolderError::Empty(root.to_owned()));
    }
    let name: ModelName = name.parse()?;
    match single {
        Some(_) if !versions.is_empty() => return Err(FolderError::Mixed(name)),
        Some(model) => versions.push((1, model)),
        None => {}
    }
    Ok(ModelFolder { name, versions, settings, labels: there("labels.txt"), root: root.to_owned() })
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
        check(&["a/model.onnx", "a/2/notes.txt"], &[("a", &[1])]);
        check(&["a/model.toml"], &[("a", &[])]);
        check(&[], &[]);
    }

    #[test]
    fn what_is_ambiguous_is_said_to_be() {
        let check = |files: &[&str], says: &str| {
            let root = repository(files);
            let error = scan(root.path()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        check(&["a.onnx", "a/model.onnx"], "'a' is there twice");
        check(&["a/model.onnx", "a/1/model.onnx"], "'a' has both a model.onnx and folders of versions");
        check(&["a b/model.onnx"], "'a b' is no name for a model");
        check(&["stats.onnx"], "'stats' is no name for a model");
        let error = scan(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere cannot be read: No such file"), "{error}");
    }
}
