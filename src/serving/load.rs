//! From a model's folder to its versions, ready to be served: engine, recipes, warm-up. What is served already and has not
//! changed is taken over.

use super::{Model, Served, attempt::Runs, trial};
use crate::{
    config::{Config, Provider, model as settings},
    model::{
        engine::{Engine, Signature},
        fake::Fake,
        folder::{FolderError, ModelFolder},
        onnx::{self, Onnx, Runtime},
        private::{self, Private},
        source::Source,
    },
    os::process,
    pool::Batching,
    recipe::{self, classification, image, labels},
};
use predictd_protocol::inference::tensor::{self, Tensor};
use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// What models are loaded by.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What was asked.
    pub config: Arc<Config>,
    /// Who runs them.
    pub runtime: Runtime,
    /// Threads of one run, where a model does not say.
    pub threads: usize,
}

/// What is wrong with a model, or with one version of it.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// The version, if it is one's.
    pub version: Option<u64>,
    /// What is wrong.
    pub cause: Cause,
}

impl<E: Into<Cause>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self { version: None, cause: cause.into() }
    }
}

/// What is wrong. Files are named relative to the model's folder.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// `model.toml`
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// A file that cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, io::Error),
    /// The model's file, or its external data.
    #[error(transparent)]
    Files(#[from] private::Error),
    /// A version that `versions` asks for.
    #[error("versions asks for version {0}, which is not there")]
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
    /// A bug, ours or the library's.
    #[error("loading it failed in an unforeseen way; the log has more")]
    Panicked,
    /// No thread to load it on.
    #[error("no thread can be started to load it: {0}")]
    Thread(String),
    /// It does not end.
    #[error("loading it did not end within {0} s, and was given up")]
    Endless(u64),
    /// One before it did not end, and is at it still: each more would hold as much memory again.
    #[error(
        "a load of it was given up before, and still goes on: it can be loaded again when that has ended, or by a new process (a restart, or SIGUSR2)"
    )]
    Abandoned,
    /// The server ends.
    #[error("the server is stopping")]
    Stopped,
}

/// A version that is to be served.
#[derive(Debug)]
pub(super) enum Version {
    /// As it is.
    Kept(Arc<Served>),
    /// Anew.
    New(Box<Made>),
}

/// A version that was just made.
#[derive(Debug)]
pub(super) struct Made {
    pub model: Model,
    pub basis: Basis,
}

/// What a version was made of, to see whether it would come out the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Basis {
    options: Option<onnx::Options>,
    /// The model's file and its external data.
    files: Vec<Source>,
    labels: Option<Source>,
}

impl Version {
    /// Its number.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Kept(served) => served.version,
            Self::New(made) => made.model.version,
        }
    }
}

impl Basis {
    /// Whether the same engine would come out of the file at `path`.
    fn makes(&self, path: &Path, options: &onnx::Options) -> bool {
        self.options.as_ref() == Some(options)
            && self.files.first().is_some_and(|file| file.path() == path)
            && self.files.iter().all(Source::is_unchanged)
    }

    /// Whether the labels are still those at `path`, or there are still none.
    fn names(&self, path: Option<&PathBuf>) -> bool {
        match (&self.labels, path) {
            (None, None) => true,
            (Some(labels), Some(path)) => labels.path() == path && labels.is_unchanged(),
            _ => false,
        }
    }
}

/// Loads what is to be served of the model in `folder`; what `before` has of it is taken over where it would come out the
/// same. `aside` of workers, it leaves the cores to them.
pub(super) fn load(
    folder: &ModelFolder,
    before: &[Weak<Served>],
    setup: &Setup,
    runs: &Runs,
    aside: bool,
) -> Result<Vec<Version>, Failure> {
    let unreadable = |error| Cause::Unreadable("model.toml".into(), error);
    let text = folder.settings.as_deref().map(fs::read_to_string).transpose().map_err(unreadable)?;
    let settings = settings::Model::parse(&text.unwrap_or_default(), "model.toml", &setup.config.defaults)?;
    let labels = settings.output.as_ref().and_then(|output| {
        let named = output.labels.as_ref().map(|file| folder.root.join(file));
        named.or_else(|| folder.labels.clone())
    });
    let loading = Loading { folder, settings: Arc::new(settings), labels, setup, runs };
    // Where threads of its own run it, they inherit the priority of this one, for good.
    if aside && loading.runs_on_this_thread() {
        let _ = process::yield_to_others();
    }
    let kept = |version| {
        let mut before = before.iter().filter_map(Weak::upgrade);
        before.find(|served| served.version == version && served.lane.closed().is_none())
    };
    let files: Vec<(u64, Option<&Path>)> =
        if loading.settings.kind == settings::Kind::Fake { vec![(1, None)] } else { loading.chosen()? };
    let load = |(number, path): (u64, Option<&Path>)| {
        let in_version = |cause| Failure { version: Some(number), cause };
        if runs.is_given_up() {
            return Err(Cause::Stopped.into());
        }
        match path {
            Some(path) => loading.version(number, path, kept(number)),
            None => loading.fake(number, kept(number)),
        }
        .map_err(in_version)
    };
    files.into_iter().map(load).collect()
}

/// One model on its way.
struct Loading<'a> {
    folder: &'a ModelFolder,
    settings: Arc<settings::Model>,
    /// The file of labels, if there is one and it is wanted.
    labels: Option<PathBuf>,
    setup: &'a Setup,
    runs: &'a Runs,
}

impl Loading<'_> {
    /// The versions that are wanted, and their files.
    fn chosen(&self) -> Result<Vec<(u64, Option<&Path>)>, Cause> {
        let all = &self.folder.versions;
        if all.is_empty() {
            return Err(Cause::NoModel);
        }
        let chosen: Vec<&(u64, PathBuf)> = match &self.settings.versions {
            settings::Versions::Latest => all.last().into_iter().collect(),
            settings::Versions::All => all.iter().collect(),
            settings::Versions::These(wanted) => {
                let find = |wanted: &u64| {
                    all.iter().find(|(version, _)| version == wanted).ok_or(Cause::NoVersion(*wanted))
                };
                wanted.iter().map(find).collect::<Result<_, _>>()?
            }
        };
        Ok(chosen.into_iter().map(|(version, path)| (*version, Some(&**path))).collect())
    }

    /// Of one run.
    fn threads(&self) -> usize {
        self.settings.session.threads.map_or(self.setup.threads, NonZeroUsize::get)
    }

    /// Whether the engine has no threads of its own. A GPU's provider may have.
    fn runs_on_this_thread(&self) -> bool {
        let on_cpu = self.setup.config.onnxruntime.providers == [Provider::Cpu];
        self.settings.kind == settings::Kind::Fake || (on_cpu && self.threads() == 1)
    }

    fn version(&self, version: u64, path: &Path, before: Option<Arc<Served>>) -> Result<Version, Cause> {
        let options = onnx::Options {
            threads: self.threads(),
            optimization: self.settings.session.graph_optimization,
            memory_arena: self.settings.session.memory_arena,
            usual_rows: self.settings.batch.max_rows.get(),
            copies: self.settings.session.copies.get(),
        };
        let name = &self.folder.name;
        if let Some(served) = before.filter(|served| served.basis.makes(path, &options)) {
            if self.dresses_alike(&served) {
                return Ok(Version::Kept(served));
            }
            tracing::info!(model = %name, version, "its settings have changed, its file has not");
            let engine = Arc::clone(&served.engine);
            return self.dress(version, engine, served.alone.clone(), served.basis.clone());
        }
        tracing::info!(model = %name, version, "loading");
        let begun = Instant::now();
        let private = Private::of(path, self.setup.config.cache.as_deref())?;
        let engine: Arc<dyn Engine> = Arc::new(Onnx::load(&self.setup.runtime, private.path(), &options)?);
        let files = private.files().to_vec();
        drop(private);
        // Longer than the model may take in service, since first runs are slow.
        let limit = self.settings.deadline.0.max(Duration::from_secs(30));
        let mut alone = self.alone(engine.signature());
        if alone.is_none() {
            let verdict =
                self.runs.within(limit, |interrupt| trial::rows_are_independent(&*engine, interrupt));
            alone = verdict.reason_against();
            if let Some(reason) = &alone {
                tracing::warn!(model = %name, version, "requests are run one by one: {reason}");
            }
        }
        self.warm_up(version, &*engine, limit);
        let basis = Basis { options: Some(options), files, labels: None };
        let batches = alone.is_none();
        let made = self.dress(version, engine, alone, basis)?;
        tracing::info!(model = %name, version, batches, took_ms = begun.elapsed().as_millis(), "loaded");
        Ok(made)
    }

    fn fake(&self, version: u64, before: Option<Arc<Served>>) -> Result<Version, Cause> {
        if !self.setup.config.allow_fake {
            return Err(Cause::Fake);
        }
        if let Some(served) = before.filter(|served| self.dresses_alike(served)) {
            return Ok(Version::Kept(served));
        }
        let behaviour = &self.settings.fake;
        tracing::warn!(model = %self.folder.name, "a fake, which misbehaves on purpose: {behaviour:?}");
        let engine =
            self.runs.within(self.settings.deadline.0, |interrupt| Fake::load(behaviour.clone(), interrupt));
        let alone = self.alone(engine.signature());
        self.dress(version, Arc::new(engine), alone, Basis::default())
    }

    /// Why requests cannot share runs, as far as that can be seen without running them.
    fn alone(&self, signature: &Signature) -> Option<String> {
        if !signature.has_free_rows() {
            return Some(signature.fixed_rows());
        }
        (self.settings.batch.max_rows.get() == 1).then(|| "batch.max_rows = 1".into())
    }

    /// Puts the recipes around an engine.
    fn dress(
        &self,
        version: u64,
        engine: Arc<dyn Engine>,
        alone: Option<String>,
        basis: Basis,
    ) -> Result<Version, Cause> {
        let (settings, signature) = (&self.settings, engine.signature());
        // Before it is read: what happens to it meanwhile is seen the next time.
        let source = self.labels.clone().map(Source::of);
        let image = settings.input.as_ref().map(|input| image::Recipe::new(input, &signature.inputs));
        let classes = settings.output.as_ref().map(|output| {
            let labels = self.labels.as_deref().map(labels::load).transpose()?;
            classification::Recipe::new(output, &signature.outputs, labels).map_err(Cause::Classification)
        });
        let settings::Batch { max_rows, max_delay, queue } = settings.batch;
        let has_rows = signature.has_free_rows();
        let model = Model {
            name: self.folder.name.clone(),
            version,
            image: image.transpose().map_err(Cause::Image)?,
            classes: classes.transpose()?,
            deadline: settings.deadline.0,
            batching: Batching {
                joins: alone.is_none(),
                has_rows,
                max_rows: max_rows.get(),
                max_delay: max_delay.0,
                queue: queue.get(),
            },
            engine,
            settings: Arc::clone(&self.settings),
            alone,
        };
        Ok(Version::New(Box::new(Made { model, basis: Basis { labels: source, ..basis } })))
    }

    /// Whether the same would be made of the engine that is there.
    fn dresses_alike(&self, served: &Served) -> bool {
        served.settings == self.settings && served.basis.names(self.labels.as_ref())
    }

    /// Runs the model on zeros, since first runs are slow. Where its shapes are not known there is nothing to run it on, and
    /// a model that does not like zeros may still like requests.
    fn warm_up(&self, version: u64, engine: &dyn Engine, limit: Duration) {
        let signature = engine.signature();
        let rows = self.settings.warmup.runs(self.settings.batch.max_rows);
        // Without a free first dimension every size is the same.
        let rows = if signature.has_free_rows() { &rows } else { &rows[..rows.len().min(1)] };
        for &rows in rows {
            let Some(zeros) = signature.zeros(rows) else { return };
            let inputs = zeros.into_iter().map(|(datatype, shape)| {
                let bytes = tensor::elements(&shape)?.checked_mul(datatype.size()?)?;
                Tensor::from_bytes(datatype, shape, vec![0; bytes].into()).ok()
            });
            let Some(inputs) = inputs.collect::<Option<Vec<_>>>() else { return };
            if let Err(error) = self.runs.within(limit, |interrupt| engine.run(&inputs, interrupt)) {
                tracing::warn!(model = %self.folder.name, version, rows, "the warm-up failed: {error}");
                return;
            }
        }
    }
}
