//! Where everything meets: prepare, run, reload, drain.

mod announcer;
mod layout;
mod life;
mod live;
mod sockets;
mod stats;
mod upgrade;

pub use life::{Ending, Stage, serve};
pub use live::Live;

use crate::{
    api::{App, Front},
    config::Config,
    model::{
        library,
        onnx::{self, Runtime},
    },
    os::{cpus::CpuId, process, socket, users},
    pool::{self, Pool},
    serving::{self, LoadError, Loader, Models, Setup},
    telemetry::{logging, phase::Life},
};
use anyhow::Context;
use layout::Layout;
use std::{io, path::PathBuf, sync::Arc};

/// What cannot be had, so that no other configuration of models would help either.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No ONNX Runtime.
    #[error(transparent)]
    Library(#[from] library::LibraryError),
    /// One that does not start.
    #[error(transparent)]
    Runtime(#[from] onnx::LoadError),
    /// An address that cannot be listened on.
    #[error("cannot listen on {0}")]
    Bind(socket::BindError),
    /// An admin interface for everybody, by a socket that was handed over.
    #[error(
        "admin = \"{0}\" is {1}, which is reached by other machines, who could load and unload models: set admin_allow_remote = true if that is meant"
    )]
    RemoteAdmin(socket::Address, socket::Address),
    /// A file of the log.
    #[error(transparent)]
    Log(#[from] logging::OpenError),
    /// A user who does not exist.
    #[error("socket.allow_users: {0}")]
    AllowUsers(users::UnknownAccount),
    /// A pidfile that cannot be written.
    #[error("pidfile: {path} cannot be written: {1}", path = .0.display())]
    Pidfile(PathBuf, io::Error),
}

/// Everything that models are loaded by.
#[derive(Debug)]
pub struct Prepared {
    /// The configuration, and ONNX Runtime.
    pub setup: Setup,
    layout: Layout,
}

/// Reads the configuration once more, for a reload.
pub type Source = Box<dyn FnMut() -> Result<Config, String> + Send>;

/// A reload's, in a server.
struct Reread {
    source: Source,
    live: Live,
}

impl serving::Reread for Reread {
    fn read(&mut self) -> Result<Config, String> {
        (self.source)()
    }

    fn apply(&mut self, config: &Config) -> Result<Vec<String>, String> {
        self.live.apply(config)
    }
}

/// Opens ONNX Runtime and looks for the cores that there are.
///
/// # Errors
/// What cannot be had.
pub fn prepare(config: Arc<Config>) -> anyhow::Result<Prepared> {
    let runtime = open_runtime(&config)?;
    let layout = Layout::of(&config).context("the cores that this process may use cannot be found out")?;
    Ok(Prepared { setup: Setup { config, runtime, threads: layout.threads }, layout })
}

/// Finds ONNX Runtime and opens it.
///
/// # Errors
/// Where there is none, or it does not start.
pub fn open_runtime(config: &Config) -> anyhow::Result<Runtime> {
    let library = library::find(config.onnxruntime.library.as_deref()).map_err(Unavailable::Library)?;
    let (providers, fallback) = (&config.onnxruntime.providers, config.onnxruntime.fallback);
    let runtime = Runtime::start(&library)
        .and_then(|runtime| runtime.on(providers, fallback))
        .map_err(Unavailable::Runtime)
        .with_context(|| library.display().to_string())?;
    tracing::info!(library = %library.display(), providers = runtime.providers(), "{}", runtime.version());
    runtime.passed_over().iter().for_each(|provider| tracing::warn!("{provider}"));
    Ok(runtime)
}

impl Prepared {
    /// Starts the workers of a server of that `life` and loads the models, which can be called from then on. A reload reads the
    /// configuration from `source` and applies it to `live`. Blocks for as long as that takes.
    ///
    /// # Errors
    /// Where a thread cannot be made; where a model cannot be loaded, unless `strict_models = false`.
    pub fn start(self, live: &Live, life: Life, source: Source) -> anyhow::Result<App> {
        let Self { setup, layout } = self;
        let config = Arc::clone(&setup.config);
        tracing::info!("{layout}");
        let workers = &config.workers;
        let options = pool::Options {
            slow_after: workers.slow_after,
            stuck_after: workers.stuck_after,
            max_stuck: workers.max_stuck.unwrap_or(2 * layout.workers.len()),
            workers: layout.workers,
        };
        let pool = Arc::new(Pool::start(options).context("the workers cannot be started")?);
        let models = Models::default();
        let reread = Box::new(Reread { source, live: live.clone() });
        let (loader, loaded) = Loader::start(setup, Arc::clone(&pool), models.clone(), reread)
            .context("the models' loader cannot be started")?;
        match &*loaded.wait() {
            Ok(report) if config.strict_models => report.strictly()?,
            Ok(_) => {}
            Err(refusal) => return Err(LoadError::Refused(refusal.clone()).into()),
        }
        let front = Front::new(live.traffic.clone(), live.connections.clone(), live.limits.clone());
        Ok(App::new(models, pool, loader, Arc::clone(&live.pixels), life, front))
    }

    /// For each worker that there will be the cores that it is pinned to.
    #[must_use]
    pub fn places(&self) -> &[Vec<CpuId>] {
        &self.layout.workers
    }

    /// The workers there will be, in words.
    #[must_use]
    pub fn workers(&self) -> String {
        self.layout.to_string()
    }
}

/// Starts the log as it is configured.
///
/// # Errors
/// Where a file of it cannot be opened.
pub fn start_logging(config: &Config) -> Result<logging::Filter, Unavailable> {
    let filter = logging::start(&logging::Options {
        level: config.log.level,
        json: config.log.json,
        file: config.log.file.clone(),
        access: config.log.access,
        access_file: config.log.access_file.clone(),
    })?;
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    if process::is_root() {
        tracing::warn!("running as root; a user of its own is safer");
    }
    let connections = u64::from(config.limits.connections);
    match process::open_files() {
        Some(limit) if limit <= connections => tracing::warn!(
            "{limit} files may be open, and limits.connections = {connections}: each connection is one, and over the limit none is accepted (LimitNOFILE= in a systemd unit, else ulimit -n)"
        ),
        limit => tracing::debug!(limit, "open files"),
    }
    Ok(filter)
}
