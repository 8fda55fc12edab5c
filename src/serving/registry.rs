//! The models by name and version.

use super::Model;
use crate::model::folder::ModelName;
use std::{collections::BTreeMap, sync::Arc};

/// The models that are served; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Models {
    by_name: Arc<BTreeMap<ModelName, Vec<Arc<Model>>>>,
}

/// Why there is no such model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lookup {
    /// No model of that name.
    #[error("there is no model '{0}'")]
    Unknown(String),
    /// The model has other versions.
    #[error("model '{0}' has no version {1}; it has {2}")]
    Version(String, String, String),
}

impl FromIterator<Model> for Models {
    fn from_iter<I: IntoIterator<Item = Model>>(models: I) -> Self {
        let mut by_name: BTreeMap<ModelName, Vec<Arc<Model>>> = BTreeMap::new();
        for model in models {
            by_name.entry(model.name.clone()).or_default().push(Arc::new(model));
        }
        for versions in by_name.values_mut() {
            versions.sort_by_key(|model| model.version);
        }
        Self { by_name: Arc::new(by_name) }
    }
}

impl Models {
    /// The model of that name; its highest version if none is asked for.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<&Arc<Model>, Lookup> {
        let versions = self.versions(name)?;
        let found = match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|model| version.parse() == Ok(model.version)),
        };
        found.ok_or_else(|| {
            let known: Vec<String> = versions.iter().map(|model| model.version.to_string()).collect();
            Lookup::Version(name.to_owned(), version.unwrap_or_default().to_owned(), known.join(", "))
        })
    }

    /// All versions of the model of that name, lowest first.
    ///
    /// # Errors
    /// Where there is none.
    pub fn versions(&self, name: &str) -> Result<&[Arc<Model>], Lookup> {
        self.by_name.get(name).map(Vec::as_slice).ok_or_else(|| Lookup::Unknown(name.to_owned()))
    }

    /// All models and versions, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.by_name.values().flatten()
    }
}
