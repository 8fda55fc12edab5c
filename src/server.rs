//! Where everything meets: prepare, run, reload, drain.

mod layout;
mod live;

pub use live::Live;

use crate::{
    api::{self, App, admin},
    config::Config,
    model::{
        library,
        onnx::{self, Runtime},
    },
    os::{
        process,
        signals::{Hangups, Signal, Signals},
        socket::{self, Address},
    },
    pool::{self, Pool},
    serving::{LoadError, Loader, Models, Operation, Setup},
    telemetry::logging,
    wire::{self, Connections, Drain, Listener},
};
use anyhow::Context;
use layout::Layout;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};

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
    /// Starts the workers and loads the models, which can be called from then on. A reload reads the configuration from
    /// `source` and applies it to `live`. Blocks for as long as that takes.
    ///
    /// # Errors
    /// Where a thread cannot be made; where a model cannot be loaded, unless `strict_models = false`.
    pub fn start(self, live: &Live, mut source: Source) -> anyhow::Result<App> {
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
        let reread = {
            let live = live.clone();
            Box::new(move || {
                let config = source()?;
                let notes = live.apply(&config);
                Ok((config, notes))
            })
        };
        let (loader, loaded) = Loader::start(setup, Arc::clone(&pool), models.clone(), reread)
            .context("the models' loader cannot be started")?;
        match &*loaded.wait() {
            Ok(report) if config.strict_models => report.strictly()?,
            Ok(_) => {}
            Err(refusal) => return Err(LoadError::Refused(refusal.clone()).into()),
        }
        Ok(App::new(models, pool, loader, Arc::clone(&live.pixels)))
    }

    /// The workers there will be, in words.
    #[must_use]
    pub fn workers(&self) -> String {
        self.layout.to_string()
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By a signal, with everything answered or `limits.drain` over.
    Drained,
    /// By a second signal, which did not wait.
    Cut(Signal),
    /// As [`Drained`](Self::Drained), but there are threads whose work did not end.
    Stuck,
    /// By the pool: too many runs are stuck.
    Broken,
}

/// How long work that was told to end is waited for in the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves until a signal comes, then answers what has been accepted, for as long as `limits.drain`.
///
/// # Errors
/// Where an address cannot be listened on.
pub async fn serve(
    live: &Live,
    app: App,
    signals: &mut Signals,
    hangups: &mut Hangups,
) -> anyhow::Result<Ending> {
    let config = live.config();
    let connections = &live.connections;
    let admin_connections = Connections::new(live::ADMIN_CONNECTIONS);
    let (drain, draining) = Drain::channel();
    let mut serving = JoinSet::new();
    // All are bound before any is served: a server listens everywhere or nowhere.
    let listeners: Vec<Listener> = config
        .listen
        .iter()
        .map(|address| listen(address, &config.socket.options))
        .collect::<Result<_, _>>()?;
    // Its socket is for its own user: whoever can open it can do everything.
    let private = socket::Options { mode: 0o600, ..config.socket.options.clone() };
    let admin = config.admin.as_ref().map(|address| listen(address, &private)).transpose()?;
    let router = api::router(app.clone());
    for listener in listeners {
        tracing::info!(listen = %listener.address(), "listening");
        let (limits, connections) = (live.limits.clone(), connections.clone());
        serving.spawn(wire::serve(listener, router.clone(), limits, connections, draining.clone()));
    }
    if let Some(listener) = admin {
        tracing::info!(admin = %listener.address(), "listening");
        let callers = admin::Callers::of(listener.address(), &config.admin_hosts);
        let (router, limits) = (admin::router(app.clone(), callers), live.admin_limits.clone());
        serving.spawn(wire::serve(listener, router, limits, admin_connections.clone(), draining.clone()));
    }
    drop(config);
    tracing::info!("ready");

    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            () = hangups.next() => {
                tracing::info!("SIGHUP: reloading");
                if let Err(refusal) = app.loader.ask(Operation::Reload) {
                    tracing::error!("no reload: {refusal}");
                }
            }
            reason = app.pool.broken() => {
                tracing::error!("{reason}: this process cannot go on, and ends; a new one can serve again");
                app.pool.stop(Duration::ZERO);
                return Ok(Ending::Broken);
            }
        }
    };
    let open = connections.open() + admin_connections.open();
    tracing::info!(open, "{}: answering what was accepted, taking nothing new", signal.name());
    app.drain();
    app.loader.close();
    let _ = drain.send(true);
    let drained = async {
        while serving.join_next().await.is_some() {}
        connections.closed().await;
        admin_connections.closed().await;
    };
    let drain = live.config().limits.drain;
    let ending = tokio::select! {
        drained = timeout(drain, drained) => {
            if drained.is_err() {
                let open = connections.open() + admin_connections.open();
                tracing::warn!(open, "limits.drain = {drain:?} has passed; what is left is cancelled");
            }
            Ending::Drained
        }
        signal = signals.next() => Ending::Cut(signal),
    };
    let loader = app.loader.stop(PATIENCE);
    if app.pool.stop(PATIENCE) && loader {
        tracing::info!("stopped");
        return Ok(ending);
    }
    tracing::warn!("stopped, in spite of runs that did not end when told to");
    Ok(match ending {
        Ending::Drained => Ending::Stuck,
        other => other,
    })
}

fn listen(address: &Address, options: &socket::Options) -> anyhow::Result<Listener> {
    let bound = socket::bind(address, options).map_err(Unavailable::Bind)?;
    Listener::new(bound).with_context(|| format!("{address} cannot be watched"))
}

/// Starts the log as it is configured.
pub fn start_logging(config: &Config) -> logging::Filter {
    let filter = logging::start(logging::Options {
        level: config.log.level,
        json: config.log.json,
        access: config.log.access,
    });
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    if process::is_root() {
        tracing::warn!("running as root; a user of its own is safer");
    }
    filter
}
