//! What a start would load, without serving it.

use super::{
    Model,
    attempt::{Abandoned, Attempt},
    load::{Failure, Setup, Version},
    repository,
};
use crate::model::folder::{FolderError, Found};
use std::time::{Duration, Instant};

/// What became of one model, or of a version of it.
#[derive(Debug)]
pub enum Checked<'a> {
    /// It could be served.
    Ready(&'a Model),
    /// It could not.
    Failed(&'a str, &'a Failure),
}

/// Loads every model that `setup` names and drops it again, telling `progress` of each and how long it took. False where a
/// load that was given up goes on.
///
/// # Errors
/// Where the folder of models cannot be read.
pub fn check(setup: &Setup, progress: &mut dyn FnMut(&Checked<'_>, Duration)) -> Result<bool, FolderError> {
    let mut abandoned = Abandoned::default();
    for Found { name, folder } in
        repository::scan(&setup.config)?.into_iter().filter(|found| !found.is_empty())
    {
        let begun = Instant::now();
        let attempt = Attempt { setup, aside: false, is_stopped: &|| false, abandoned: &mut abandoned };
        match folder.map_err(Failure::from).and_then(|folder| attempt.load(folder, &[])) {
            Ok(versions) => {
                for version in &versions {
                    if let Version::New(made) = version {
                        progress(&Checked::Ready(&made.model), begun.elapsed());
                    }
                }
            }
            Err(failure) => progress(&Checked::Failed(&name, &failure), begun.elapsed()),
        }
    }
    Ok(abandoned.is_empty())
}
