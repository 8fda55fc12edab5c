//! Which models the configuration names: those of the folder, and those given one by one.

use crate::{
    config::Config,
    model::folder::{self, FolderError, Found},
};
use std::io;

/// All of them, by name. A folder without a model is among them, which may have had one.
///
/// # Errors
/// Where the folder of models cannot be read.
pub(super) fn scan(config: &Config) -> Result<Vec<Found>, FolderError> {
    let mut all = match folder::scan(&config.models) {
        Ok(found) => found,
        // Models given one by one need no folder.
        Err(FolderError::Repository(_, error))
            if error.kind() == io::ErrorKind::NotFound && !config.extra_models.is_empty() =>
        {
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    for (name, path) in &config.extra_models {
        all.retain(|found| found.name != *name);
        all.push(folder::open(name, path));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}
