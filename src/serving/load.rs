//! From a model's folder to a model that is ready: engine, recipes, warm-up.

use super::{Model, trial};
use crate::{
    config::{Config, model as settings},
    model::{
        engine::{Engine, Interrupt},
        external::Private,
        fake::Fake,
        folder::{self, FolderError, ModelFolder},
        onnx::{self, Onnx, Runtime},
    },
    os::process,
    pool::Batching,
    recipe::{self, classification, image, labels},
};
use predictd_protocol::inference::tensor::{self, Tensor};
use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Why a model cannot be served, in one line.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The repository or a model's folder is not as it should be.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Of one model.
    #[error("model '{name}': {cause}")]
    Model {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: Cause,
    },
    /// Of several, each said before.
    #[error(
        "{failed} of {all} models cannot be loaded (strict_models = false would serve the others); the first: {first}"
    )]
    Several {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
        /// The first of them.
        first: Box<LoadError>,
    },
}

/// What is wrong with one model.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// `model.toml`
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// A file that cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// External data that cannot be copied.
    #[error("{0} and its external data cannot be read, or not copied to cache: {1}")]
    Copy(PathBuf, std::io::Error),
    /// A version that `versions` asks for.
    #[error("version {0} is asked for and not there")]
    NoVersion(u64),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] onnx::LoadError),
    /// The input's recipe.
    #[error("[input]: {0}")]
    Image(recipe::LoadError),
    /// The output's recipe.
    #[error("[output]: {0}")]
    Classification(recipe::LoadError),
    /// The output's labels.
    #[error("[output]: {0}")]
    Labels(#[from] labels::Error),
    /// Settings and no model.
    #[error("there is a model.toml, and neither a model.onnx nor a version's folder with one")]
    NoModel,
    /// Kind "fake".
    #[error("kind = \"fake\" is for tests, and served only with --allow-fake")]
    Fake,
}

/// What became of one model, for those who watch.
#[derive(Debug)]
pub enum Loaded<'a> {
    /// It is ready, and took so long.
    Ready(&'a Model, Duration),
    /// It is not.
    Failed(&'a str, &'a LoadError),
}

/// Loads all models that the configuration names.
///
/// # Errors
/// Where a model cannot be loaded, unless `strict_models` is off; or the folder of models cannot be read.
pub fn load_all(
    config: &Config,
    runtime: &Runtime,
    threads: usize,
    progress: &mut dyn FnMut(&Loaded<'_>),
) -> Result<Vec<Model>, LoadError> {
    let mut folders = Vec::new();
    // Models given one by one need no folder.
    if config.extra_models.is_empty() || config.models.is_dir() {
        folders = folder::scan(&config.models)?;
    }
    for (name, path) in &config.extra_models {
        let folder = folder::open(name, path)?;
        folders.retain(|other| other.name != folder.name);
        folders.push(folder);
    }
    if folders.is_empty() {
        tracing::warn!(models = %config.models.display(), "there is no model to serve");
    }
    let mut models = Vec::new();
    let mut failed: Vec<LoadError> = Vec::new();
    for folder in &folders {
        let name = folder.name.as_str();
        match load(folder, config, runtime, threads, progress) {
            Ok(versions) => models.extend(versions),
            Err(cause) => {
                let error = LoadError::Model { name: name.to_owned(), cause };
                tracing::error!("{error}");
                progress(&Loaded::Failed(name, &error));
                failed.push(error);
            }
        }
    }
    let (all, count) = (folders.len(), failed.len());
    match failed.into_iter().next() {
        Some(first) if config.strict_models && count == 1 => Err(first),
        Some(first) if config.strict_models => {
            Err(LoadError::Several { failed: count, all, first: first.into() })
        }
        _ => Ok(models),
    }
}

fn load(
    folder: &ModelFolder,
    config: &Config,
    runtime: &Runtime,
    threads: usize,
    progress: &mut dyn FnMut(&Loaded<'_>),
) -> Result<Vec<Model>, Cause> {
    let text = folder.settings.as_deref().map(read).transpose()?.unwrap_or_default();
    let settings = settings::Model::parse(&text, "model.toml", &config.defaults)?;
    let mut models = Vec::new();
    let mut take = |model: Model, begun: Instant| {
        let took = begun.elapsed();
        let (version, joins) = (model.version, model.batching.joins);
        tracing::info!(model = %model.name, version, batches = joins, took_ms = took.as_millis(), "loaded");
        progress(&Loaded::Ready(&model, took));
        models.push(model);
    };
    if settings.kind == settings::Kind::Fake {
        if !config.allow_fake {
            return Err(Cause::Fake);
        }
        let begun = Instant::now();
        let engine = Arc::new(Fake::new(settings.fake.clone()));
        tracing::warn!(model = %folder.name, "a fake, which misbehaves on purpose: {:?}", settings.fake);
        let alone = alone(&settings, engine.signature().has_free_rows());
        take(model(folder, &settings, 1, engine, alone)?, begun);
        return Ok(models);
    }
    if folder.versions.is_empty() {
        return Err(Cause::NoModel);
    }
    for (version, path) in chosen(folder, &settings.versions)? {
        let begun = Instant::now();
        take(load_version(folder, &settings, *version, path, config, runtime, threads)?, begun);
    }
    process::release_free_memory();
    Ok(models)
}

/// Why requests cannot share runs, as far as that can be seen without running them.
fn alone(settings: &settings::Model, has_free_rows: bool) -> Option<String> {
    if !has_free_rows {
        return Some("its tensors do not all begin with a free dimension".into());
    }
    (settings.batch.max_rows.get() == 1).then(|| "batch.max_rows = 1".into())
}

fn read(path: &Path) -> Result<String, Cause> {
    fs::read_to_string(path).map_err(|error| Cause::Unreadable(path.to_owned(), error))
}

fn chosen<'a>(
    folder: &'a ModelFolder,
    versions: &settings::Versions,
) -> Result<Vec<&'a (u64, PathBuf)>, Cause> {
    match versions {
        settings::Versions::Latest => Ok(folder.versions.last().into_iter().collect()),
        settings::Versions::All => Ok(folder.versions.iter().collect()),
        settings::Versions::These(wanted) => wanted
            .iter()
            .map(|wanted| {
                folder.versions.iter().find(|(version, _)| version == wanted).ok_or(Cause::NoVersion(*wanted))
            })
            .collect(),
    }
}

fn load_version(
    folder: &ModelFolder,
    settings: &settings::Model,
    version: u64,
    path: &Path,
    config: &Config,
    runtime: &Runtime,
    threads: usize,
) -> Result<Model, Cause> {
    let options = onnx::Options {
        threads: settings.session.threads.map_or(threads, NonZeroUsize::get),
        optimization: settings.session.graph_optimization,
        memory_arena: settings.session.memory_arena,
        usual_rows: settings.batch.max_rows.get(),
    };
    let private =
        Private::of(path, config.cache.as_deref()).map_err(|error| Cause::Copy(path.to_owned(), error))?;
    let engine = Arc::new(Onnx::load(runtime, private.path(), &options)?);
    drop(private);
    let mut alone = alone(settings, engine.signature().has_free_rows());
    if alone.is_none() {
        alone = trial::rows_are_independent(&*engine).reason_against();
        if let Some(reason) = &alone {
            tracing::warn!(model = %folder.name, version, "requests are run one by one: {reason}");
        }
    }
    warm_up(folder, version, &*engine, &settings.warmup.runs(settings.batch.max_rows));
    model(folder, settings, version, engine, alone)
}

/// Puts the recipes around an engine.
fn model(
    folder: &ModelFolder,
    settings: &settings::Model,
    version: u64,
    engine: Arc<dyn Engine>,
    alone: Option<String>,
) -> Result<Model, Cause> {
    let settings::Batch { max_rows, max_delay, queue } = settings.batch;
    let signature = engine.signature();
    let image = settings.input.as_ref().map(|input| image::Recipe::new(input, &signature.inputs));
    let classes = settings.output.as_ref().map(|output| {
        let named = output.labels.as_ref().map(|file| folder.root.join(file));
        let labels = named.or_else(|| folder.labels.clone()).map(|file| labels::load(&file)).transpose()?;
        classification::Recipe::new(output, &signature.outputs, labels).map_err(Cause::Classification)
    });
    Ok(Model {
        name: folder.name.clone(),
        version,
        image: image.transpose().map_err(Cause::Image)?,
        classes: classes.transpose()?,
        deadline: settings.deadline.0,
        batching: Batching {
            has_rows: signature.has_free_rows(),
            joins: alone.is_none(),
            max_rows: max_rows.get(),
            max_delay: max_delay.0,
            queue: queue.get(),
        },
        alone,
        settings: Arc::new(settings.clone()),
        engine,
    })
}

/// Runs the model on zeros, since first runs are slow. Where its shapes are not known there is nothing to run it on, and
/// a model that does not like zeros may still like requests.
fn warm_up(folder: &ModelFolder, version: u64, engine: &dyn Engine, rows: &[usize]) {
    let signature = engine.signature();
    // Without a free first dimension every size is the same.
    let rows = if signature.has_free_rows() { rows } else { &rows[..rows.len().min(1)] };
    for &rows in rows {
        let inputs = signature.inputs.iter().map(|spec| {
            let dims = spec.shape.iter().enumerate();
            let shape =
                dims.map(|(at, dim)| dim.or((at == 0).then_some(rows))).collect::<Option<Vec<_>>>()?;
            let bytes = tensor::elements(&shape)?.checked_mul(spec.datatype.size()?)?;
            Tensor::from_bytes(spec.datatype, shape, vec![0; bytes].into()).ok()
        });
        let Some(inputs) = inputs.collect::<Option<Vec<_>>>() else { return };
        if let Err(error) = engine.run(&inputs, &Interrupt::default()) {
            tracing::warn!(model = %folder.name, version, rows, "the warm-up failed: {error}");
            return;
        }
    }
}
