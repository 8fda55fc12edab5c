//! The models by name and version.

use super::Model;
use crate::{
    model::folder::ModelName,
    pool::{Lane, Pool},
};
use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

/// A model, and where requests for it go.
#[derive(Debug)]
pub struct Served {
    /// What is run.
    pub model: Arc<Model>,
    /// Its queue.
    pub lane: Lane,
}

impl Deref for Served {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.model
    }
}

/// The models that are served, which may change at any time; cheap to clone, and all clones see the same. Whoever has found
/// a model keeps it until it is dropped, whatever becomes of the name meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Models {
    by_name: Arc<RwLock<ByName>>,
}

/// The versions of each model, lowest first.
type ByName = BTreeMap<ModelName, Vec<Arc<Served>>>;

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

impl Models {
    /// Gives each model its lane.
    #[must_use]
    pub fn open(models: Vec<Model>, pool: &Pool) -> Self {
        let mut by_name = ByName::new();
        for model in models {
            let label = format!("{}/{}", model.name, model.version);
            let lane = pool.open(&label, Arc::clone(&model.engine), model.batching.clone());
            let name = model.name.clone();
            by_name.entry(name).or_default().push(Arc::new(Served { model: Arc::new(model), lane }));
        }
        for versions in by_name.values_mut() {
            versions.sort_by_key(|model| model.version);
        }
        Self { by_name: Arc::new(RwLock::new(by_name)) }
    }

    /// The model of that name; its highest version if none is asked for.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Served>, Lookup> {
        let by_name = self.read();
        let versions = by_name.get(name).ok_or_else(|| Lookup::Unknown(name.to_owned()))?;
        let found = match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|model| version.parse() == Ok(model.version)),
        };
        found.cloned().ok_or_else(|| {
            let known: Vec<String> = versions.iter().map(|model| model.version.to_string()).collect();
            Lookup::Version(name.to_owned(), version.unwrap_or_default().to_owned(), known.join(", "))
        })
    }

    /// All versions of the model of that name, lowest first.
    ///
    /// # Errors
    /// Where there is none.
    pub fn versions(&self, name: &str) -> Result<Vec<Arc<Served>>, Lookup> {
        self.read().get(name).cloned().ok_or_else(|| Lookup::Unknown(name.to_owned()))
    }

    /// All models and versions, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Served>> {
        self.read().values().flatten().cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, ByName> {
        // Nothing that holds the lock panics half-way.
        self.by_name.read().unwrap_or_else(PoisonError::into_inner)
    }
}
