//! Where everything meets: prepare, run, drain.

use crate::{
    api::{self, App},
    config::{Config, Pin},
    model::{
        library,
        onnx::{self, Runtime},
    },
    os::{
        cpus::{self, CpuId},
        memory, process,
        signals::{Signal, Signals},
        socket,
    },
    pool::{self, Pool},
    serving::{self, Model, Models},
    telemetry::logging,
    wire::{self, Budget, Connections, Drain, Listener, LiveLimits},
};
use anyhow::Context;
use predictd_protocol::gateway;
use std::{io, sync::Arc, time::Duration};
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

/// Everything that requests are answered from.
#[derive(Debug)]
pub struct Prepared {
    /// The models, loaded and run once.
    pub models: Vec<Model>,
    /// What ONNX Runtime calls itself.
    pub runtime: String,
    layout: Layout,
}

impl Prepared {
    /// Starts the workers; from then on models can be called.
    ///
    /// # Errors
    /// Where a thread cannot be made.
    pub fn start(self, config: &Config) -> anyhow::Result<App> {
        tracing::info!("{}", self.layout);
        let workers = &config.workers;
        let options = pool::Options {
            slow_after: workers.slow_after,
            stuck_after: workers.stuck_after,
            max_stuck: workers.max_stuck.unwrap_or(2 * self.layout.workers.len()),
            workers: self.layout.workers,
        };
        let pool = Pool::start(options).context("the workers cannot be started")?;
        let models = Models::open(self.models, &pool);
        Ok(App::new(models, Arc::new(pool), config.limits.pixels))
    }

    /// The workers there will be, in words.
    #[must_use]
    pub fn workers(&self) -> String {
        self.layout.to_string()
    }
}

/// Opens ONNX Runtime and loads every model, telling `progress` of each.
///
/// # Errors
/// What cannot be had or loaded. With `strict_models = false` a model that fails is only logged.
pub fn prepare(config: &Config, progress: &mut dyn FnMut(&serving::Loaded)) -> anyhow::Result<Prepared> {
    let library = library::find(config.onnxruntime.library.as_deref()).map_err(Unavailable::Library)?;
    let runtime = Runtime::start(&library)
        .map_err(Unavailable::Runtime)
        .with_context(|| library.display().to_string())?;
    tracing::info!(library = %library.display(), "{}", runtime.version());
    let layout = Layout::of(config).context("the cores that this process may use cannot be found out")?;
    let models = serving::load_all(config, &runtime, layout.threads, progress)?;
    Ok(Prepared { models, runtime: runtime.version(), layout })
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By a signal, with everything answered or `limits.drain` over.
    Drained,
    /// By a second signal, which did not wait.
    Cut(Signal),
    /// As [`Drained`](Self::Drained), but there are threads whose run did not end.
    Stuck,
    /// By the pool: too many runs are stuck.
    Broken,
}

/// How long runs that were told to end are waited for in the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves until a signal comes, then answers what has been accepted, for as long as `limits.drain`.
///
/// # Errors
/// Where an address cannot be listened on.
pub async fn serve(config: &Config, prepared: Prepared, signals: &mut Signals) -> anyhow::Result<Ending> {
    let app = prepared.start(config)?;
    let router = api::router(app.clone());
    let connections = Connections::new(config.limits.connections);
    let (drain, draining) = Drain::channel();
    let mut serving = JoinSet::new();
    let limits = LiveLimits::from(limits(config));
    // All are bound before any is served: a server listens everywhere or nowhere.
    for listener in listeners(config)? {
        tracing::info!(listen = %listener.address(), "listening");
        serving.spawn(wire::serve(
            listener,
            router.clone(),
            limits.clone(),
            connections.clone(),
            draining.clone(),
        ));
    }
    tracing::info!("ready");

    let signal = tokio::select! {
        signal = signals.next() => signal,
        reason = app.pool.broken() => {
            tracing::error!("{reason}: this process cannot go on, and ends; a new one can serve again");
            app.pool.stop(Duration::ZERO);
            return Ok(Ending::Broken);
        }
    };
    let open = connections.open();
    tracing::info!(open, "{}: answering what was accepted, taking nothing new", signal.name());
    app.drain();
    let _ = drain.send(true);
    let drained = async {
        while serving.join_next().await.is_some() {}
        connections.closed().await;
    };
    let ending = tokio::select! {
        drained = timeout(config.limits.drain, drained) => {
            if drained.is_err() {
                let (open, drain) = (connections.open(), config.limits.drain);
                tracing::warn!(open, "limits.drain = {drain:?} has passed; what is left is cancelled");
            }
            Ending::Drained
        }
        signal = signals.next() => Ending::Cut(signal),
    };
    if app.pool.stop(PATIENCE) {
        tracing::info!("stopped");
        return Ok(ending);
    }
    tracing::warn!("stopped, in spite of runs that did not end when told to");
    Ok(match ending {
        Ending::Drained => Ending::Stuck,
        other => other,
    })
}

fn listeners(config: &Config) -> anyhow::Result<Vec<Listener>> {
    let bind = |address| -> anyhow::Result<Listener> {
        let bound = socket::bind(address, &config.socket.options).map_err(Unavailable::Bind)?;
        Listener::new(bound).with_context(|| format!("{address} cannot be watched"))
    };
    config.listen.iter().map(bind).collect()
}

fn limits(config: &Config) -> wire::Limits {
    let limits = &config.limits;
    let in_flight = limits.in_flight.unwrap_or_else(|| {
        let quarter = memory::allowed().unwrap_or(4 << 30) / 4;
        quarter.max(limits.body.saturating_mul(2))
    });
    wire::Limits {
        budget: Budget::new(in_flight),
        wires: limits.wires,
        connections: limits.connections,
        idle_timeout: limits.idle_timeout,
        protocol: gateway::Limits { head: limits.head, body: limits.body, ..gateway::Limits::default() },
        head_timeout: limits.head_timeout,
        body_timeout: limits.body_timeout,
        write_timeout: limits.write_timeout,
    }
}

/// Starts the log as it is configured.
pub fn start_logging(config: &Config) {
    logging::start(logging::Options {
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
}

/// Which workers there are, and on which cores.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    allowed: usize,
    threads: usize,
    workers: Vec<Vec<CpuId>>,
}

impl Layout {
    fn of(config: &Config) -> io::Result<Self> {
        Ok(Self::plan(&cpus::allowed()?, cpus::quota(), config))
    }

    fn plan(allowed: &[CpuId], quota: Option<f64>, config: &Config) -> Self {
        let threads = config.workers.threads;
        let count = config.workers.count.unwrap_or_else(|| cpus::workers(allowed.len(), quota, threads));
        let cores: &[CpuId] = match &config.workers.pin {
            Pin::Off => &[],
            Pin::Auto => allowed,
            Pin::Cpus(cpus) => cpus,
        };
        // Each worker has the next cores, from the first again when they run out.
        let place = |worker: usize| -> Vec<CpuId> {
            cores.iter().copied().cycle().skip(worker * threads % cores.len().max(1)).take(threads).collect()
        };
        Self { allowed: allowed.len(), threads, workers: (0..count).map(place).collect() }
    }
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (allowed, count, threads) = (self.allowed, self.workers.len(), self.threads);
        write!(f, "{allowed} core{} allowed, {count} worker{}", plural(allowed), plural(count))?;
        write!(f, " x {threads} thread{}, ", plural(threads))?;
        if self.workers.iter().all(Vec::is_empty) {
            return f.write_str("not pinned");
        }
        f.write_str("pinned to ")?;
        for (at, cores) in self.workers.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
            write!(f, "{comma}{}", cores.join("+"))?;
        }
        Ok(())
    }
}
