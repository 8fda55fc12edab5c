//! Which model is meant: one of the configuration, or a path.

use crate::{
    config::Config,
    model::folder::{self, FolderError, ModelName},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// A model that is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) name: ModelName,
    pub(super) path: PathBuf,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSubject {
    /// Neither name nor path.
    #[error("there is no model '{0}' in {folder}, and no such file; {2}", folder = .1.display())]
    Unknown(String, PathBuf, String),
    /// It is not one.
    #[error("model '{0}': {1}")]
    Folder(String, FolderError),
}

impl Subject {
    /// The model of `config` that `text` names, else that at the path `text`.
    pub(super) fn find(text: &str, config: &Config) -> Result<Self, NoSubject> {
        let folder = |error| NoSubject::Folder(text.to_owned(), error);
        let (name, path) = match named(text, config).map_err(folder)? {
            Some(path) => (text.to_owned(), path),
            None => {
                let path = Path::new(text);
                if !path.exists() {
                    return Err(NoSubject::Unknown(text.into(), config.models.clone(), known(config)));
                }
                (name_of(path), std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
            }
        };
        let found = folder::open(&name, &path).folder.map_err(folder)?;
        Ok(Self { name: found.name, path })
    }
}

fn named(name: &str, config: &Config) -> Result<Option<PathBuf>, FolderError> {
    if name.parse::<ModelName>().is_err() {
        return Ok(None);
    }
    if let Some((_, path)) = config.extra_models.iter().find(|(other, _)| other == name) {
        return Ok(Some(path.clone()));
    }
    // As a server would look for it, so that what it would not serve is not measured.
    let Ok(found) = folder::scan(&config.models) else { return Ok(None) };
    let Some(found) = found.into_iter().find(|found| found.name == name && !found.is_empty()) else {
        return Ok(None);
    };
    found.folder?;
    let (folder, file) = (config.models.join(name), config.models.join(format!("{name}.onnx")));
    Ok(Some(if file.is_file() { file } else { folder }))
}

/// Which models there are.
fn known(config: &Config) -> String {
    let found = match folder::scan(&config.models) {
        Ok(found) => found,
        Err(error) if config.extra_models.is_empty() => return error.to_string(),
        Err(_) => Vec::new(),
    };
    let in_folder = found.into_iter().filter(|found| !found.is_empty()).map(|found| found.name);
    let given = config.extra_models.iter().map(|(name, _)| name.clone());
    let names: BTreeSet<String> = in_folder.chain(given).collect();
    if names.is_empty() {
        return "there are no models there".into();
    }
    format!("there are {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// What a model at a path is called here: its file, or its folder where files are all called `model.onnx`.
fn name_of(path: &Path) -> String {
    let of_folder = |path: &Path| {
        let path = path.canonicalize().ok()?;
        let is_version = |folder: &&Path| {
            folder.file_name().is_some_and(|name| name.to_string_lossy().parse::<u64>().is_ok())
        };
        let mut folders = path.ancestors().skip(usize::from(path.is_file()));
        let folder = folders.find(|folder| !is_version(folder))?;
        Some(folder.file_name()?.to_string_lossy().into_owned())
    };
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = match stem {
        Some(stem) if path.is_file() && stem != "model" => Some(stem),
        _ => of_folder(path),
    };
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let name: String = name.unwrap_or_default().chars().map(|c| if plain(c) { c } else { '-' }).collect();
    name.parse::<ModelName>().map_or_else(|_| "model".into(), |name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Overrides};
    use std::fs;

    #[test]
    fn a_model_is_found_by_name_else_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        for name in ["models/a/model.onnx", "models/b.onnx", "models/c/2/model.onnx", "models/both.onnx"] {
            file(name);
        }
        let both = file("models/both/model.onnx");
        let (other, flag) = (file("other name.onnx"), file("flag.onnx"));
        fs::create_dir(folder.path().join("models/empty")).unwrap();
        let models = folder.path().join("models");
        let overrides = Overrides {
            models: Some(models.display().to_string()),
            extra_models: vec![("a".into(), flag.clone())],
            ..Overrides::default()
        };
        let config = config::load(None, std::iter::empty(), overrides).unwrap();
        let check = |text: &str, name: &str, path: &Path| {
            let found = Subject::find(text, &config).unwrap();
            assert_eq!((found.name.as_str(), &*found.path), (name, path), "{text}");
        };
        // A flag goes before the folder, as in a server.
        check("a", "a", &flag);
        check("b", "b", &models.join("b.onnx"));
        check("c", "c", &models.join("c"));
        check(other.to_str().unwrap(), "other-name", &other);
        check(both.to_str().unwrap(), "both", &both);
        check(models.join("c").to_str().unwrap(), "c", &models.join("c"));
        check(models.join("c/2/model.onnx").to_str().unwrap(), "c", &models.join("c/2/model.onnx"));
        let says = |text: &str, says: &str| {
            let error = Subject::find(text, &config).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        says("both", "model 'both': it is there twice");
        says("nobody", "there is no model 'nobody' in /");
        says("empty", "no such file; there are a, b, both, c");
        says(models.join("empty").to_str().unwrap(), "its folder holds no model");
    }
}
