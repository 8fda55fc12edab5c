//! A server from its start to its end: it loads, serves, minds its signals, hands over, drains.
//!
//! One straight line of phases; what happens in each is here, and who is told is the announcer's.

use super::{
    Live, Source, Unavailable,
    announcer::{Announcer, LOADING},
    live::{ADMIN_CONNECTIONS, STATS_CONNECTIONS},
    prepare,
    sockets::{Held, Listening, Taken},
    stats,
    upgrade::Upgrade,
};
use crate::{
    api::{self, App, Door, admin},
    config::Config,
    model::private,
    os::{
        pidfile::Pidfile,
        signals::{Signal, Signals},
        upgrade::{Handover, Predecessor, Successor},
    },
    telemetry::{logging, phase::Phase, traffic::Traffic},
    wire::{self, Connections, Drain, Sentry},
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::JoinSet,
    time::{interval, timeout},
};

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By a signal or an upgrade, with everything answered or `limits.drain` over.
    Drained,
    /// By a second signal, which did not wait.
    Cut(Signal),
    /// As [`Drained`](Self::Drained), but there are threads whose work did not end.
    Stuck,
    /// By the pool: too many runs are stuck.
    Broken,
}

/// How long runs that were told to end are waited for in the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the clients of what was cancelled may take to take the answer that says so.
const FAREWELL: Duration = Duration::from_millis(500);

/// What a server has before it has models: everything that can be found wrong at once.
#[derive(Debug)]
pub struct Stage {
    announcer: Announcer,
    sockets: Taken,
    predecessor: Option<Predecessor>,
}

impl Stage {
    /// Takes the sockets, those that were handed over first.
    ///
    /// # Errors
    /// What cannot be had.
    pub fn set(config: &Config, handover: Handover) -> Result<Self, Unavailable> {
        let Handover { sockets, predecessor } = handover;
        if let Some(path) = &config.pidfile {
            Pidfile::check(path).map_err(|error| Unavailable::Pidfile(path.clone(), error))?;
        }
        let sockets = Taken::all(config, sockets)?;
        Ok(Self { announcer: Announcer::new(predecessor.is_some()), sockets, predecessor })
    }
}

/// Loads the models and serves them until a signal comes; then answers what has been accepted, for as long as `limits.drain`.
/// A reload reads the configuration from `source`.
///
/// # Errors
/// What cannot be had, or loaded.
pub async fn serve(
    live: &Live,
    stage: Stage,
    mut signals: Signals,
    source: Source,
) -> anyhow::Result<Ending> {
    let Some((app, hangup)) = load(live, &stage.announcer, &mut signals, source).await? else {
        stage.announcer.life().enter(Phase::Stopped, "stopped before it was ready");
        // The thread that loads is in the middle of it.
        private::remove_own();
        return Ok(Ending::Stuck);
    };
    let mut server = Server::start(live, app, stage, signals).await?;
    if hangup {
        server.reload();
    }
    let saying = (server.announcer.feed_watchdog(&server.app.pool), server.announcer.extend_reloads());
    let ending = match server.wait_for_the_end().await {
        End::Broken(reason) => {
            tracing::error!("{reason}: this process cannot go on, and ends; a new one can serve again");
            server.announcer.life().enter(Phase::Cancelling, &reason);
            server.app.pool.stop(Duration::ZERO);
            Ending::Broken
        }
        End::Asked(signal) => {
            let why = format!("{}: answering what was accepted, taking nothing new", signal.name());
            server.end(&why, false).await
        }
        End::Relieved(successor) => {
            let why = format!("process {} has taken over: answering what was accepted", successor.id());
            server.end(&why, true).await
        }
    };
    drop(saying);
    if ending != Ending::Drained {
        private::remove_own();
    }
    Ok(ending)
}

/// Loads the models; `None` where a signal came first. Says too whether the configuration has changed meanwhile.
async fn load(
    live: &Live,
    announcer: &Announcer,
    signals: &mut Signals,
    source: Source,
) -> anyhow::Result<Option<(App, bool)>> {
    announcer.life().enter(Phase::Loading, "loading models");
    let loading = {
        let (live, life) = (live.clone(), announcer.life().clone());
        tokio::task::spawn_blocking(move || prepare(live.config())?.start(&live, life, source))
    };
    tokio::pin!(loading);
    let mut still = interval(LOADING);
    let mut hangup = false;
    loop {
        tokio::select! {
            app = &mut loading => return Ok(Some((app??, hangup))),
            _ = still.tick() => announcer.extend(3 * LOADING),
            signal = signals.next() => match signal {
                Signal::Terminate | Signal::Interrupt => {
                    tracing::info!("{}: ending before the models are loaded", signal.name());
                    return Ok(None);
                }
                Signal::Hangup => hangup = true,
                Signal::User1 => logging::reopen(),
                Signal::User2 => tracing::warn!("SIGUSR2: not yet, this process is not ready itself"),
            },
        }
    }
}

/// Why it ends.
enum End {
    Asked(Signal),
    Relieved(Successor),
    Broken(String),
}

/// One that answers.
struct Server<'a> {
    live: &'a Live,
    app: App,
    announcer: Announcer,
    signals: Signals,
    /// There until the end begins.
    held: Option<Held>,
    pidfile: Option<Pidfile>,
    admin_connections: Connections,
    stats_connections: Connections,
    serving: JoinSet<()>,
}

impl<'a> Server<'a> {
    async fn start(live: &'a Live, app: App, stage: Stage, signals: Signals) -> anyhow::Result<Self> {
        let Stage { announcer, sockets, predecessor } = stage;
        let config = live.config();
        let admin_connections = Connections::new(ADMIN_CONNECTIONS);
        let stats_connections = Connections::new(STATS_CONNECTIONS);
        let drain = Drain::of(announcer.life());
        let mut serving = JoinSet::new();
        let mut addresses = Vec::new();
        // All listen before any is served: a server listens everywhere or nowhere.
        let Listening { public, admin, uwsgi_stats, mut held } = sockets.listen()?;
        for listener in &public {
            tracing::info!(listen = %listener.address(), "listening");
            addresses.push(listener.address().to_string());
        }
        for listener in &admin {
            tracing::info!(admin = %listener.address(), "listening");
        }
        for listener in &uwsgi_stats {
            tracing::info!(uwsgi_stats = %listener.address(), "listening");
        }
        let alarms = app.front.alarms().clone();
        let sentry = Sentry::over(&public, live.connections.clone(), live.limits.clone(), alarms);
        let takes_over = predecessor.is_some();
        if let Some(predecessor) = predecessor {
            tokio::task::spawn_blocking(move || predecessor.relieve()).await?;
            held.take_over();
            announcer.take_over();
        }
        let write =
            |path: &PathBuf| Pidfile::write(path).map_err(|error| Unavailable::Pidfile(path.clone(), error));
        let pidfile = match config.pidfile.as_ref().map(write).transpose() {
            // There is nobody any more who would go on in our place.
            Err(error) if takes_over => {
                tracing::error!("{error}");
                None
            }
            written => written?,
        };
        // Not before: until then it is the process before us that answers, and we may still be ended. Who connects meanwhile waits.
        let router = api::router(app.clone());
        let doors = public.iter().map(|listener| Door::of(listener, false));
        app.front.opened(doors.chain(admin.iter().map(|listener| Door::of(listener, true))));
        for listener in public {
            serving.spawn(live.serve(listener, router.clone(), drain.clone()));
        }
        for listener in admin {
            let callers = admin::Callers::of(listener.address(), &config.admin_hosts);
            let (router, limits) = (admin::router(app.clone(), callers), live.admin_limits.clone());
            // Whoever looks at the counts should not change them.
            let (traffic, connections) = (Traffic::default(), admin_connections.clone());
            serving.spawn(wire::serve(listener, router, traffic, limits, connections, drain.clone()));
        }
        for listener in uwsgi_stats {
            let (app, connections) = (app.clone(), stats_connections.clone());
            serving.spawn(wire::dump(
                listener,
                move || stats::document(app.clone()),
                connections,
                drain.clone(),
            ));
        }
        // It ends with the runtime.
        tokio::spawn(sentry.watch());
        let (models, addresses) = (app.models.clone(), addresses.join(", "));
        announcer.life().ready(Box::new(move || {
            let count = models.answering();
            let plural = if count == 1 { "" } else { "s" };
            format!("serving {count} model{plural} on {addresses}")
        }));
        let held = Some(held);
        Ok(Self {
            live,
            app,
            announcer,
            signals,
            held,
            pidfile,
            admin_connections,
            stats_connections,
            serving,
        })
    }

    /// Does what signals say, until one of them says to end.
    async fn wait_for_the_end(&mut self) -> End {
        let pool = Arc::clone(&self.app.pool);
        let mut upgrade: Option<Upgrade> = None;
        loop {
            tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Terminate | Signal::Interrupt => {
                        return match upgrade {
                            // Before anything else: it has our sockets.
                            Some(upgrade) => match upgrade.end().await {
                                // Which the signal may have reached as well.
                                Some(successor) => End::Relieved(self.hand_over(successor)),
                                None => End::Asked(signal),
                            },
                            None => End::Asked(signal),
                        };
                    }
                    Signal::Hangup => self.reload(),
                    Signal::User1 => logging::reopen(),
                    Signal::User2 => match &upgrade {
                        Some(upgrade) => tracing::warn!("SIGUSR2: process {} is starting already", upgrade.id()),
                        None => upgrade = self.start_upgrade(),
                    },
                },
                ready = ready(&mut upgrade) => {
                    match ready {
                        Ok(successor) => return End::Relieved(self.hand_over(successor)),
                        Err(reason) => {
                            if let Some(upgrade) = upgrade.take()
                                && let Some(successor) = upgrade.end().await
                            {
                                return End::Relieved(self.hand_over(successor));
                            }
                            tracing::error!("no upgrade: the new process is not ready and never will be ({reason}); this one goes on");
                            self.announcer.life().settle();
                        }
                    }
                }
                reason = pool.broken() => return End::Broken(reason),
            }
        }
    }

    fn reload(&self) {
        tracing::info!("SIGHUP: reloading");
        let app = self.app.clone();
        tokio::spawn(async move {
            if let Err(refusal) = app.reload().await {
                tracing::error!("no reload: {refusal}");
            }
        });
    }

    fn start_upgrade(&self) -> Option<Upgrade> {
        let life = self.announcer.life();
        if !life.enter(Phase::Upgrading, "SIGUSR2: waiting for a new process to take over") {
            tracing::warn!("SIGUSR2: not while {}; try again", life.phase());
            return None;
        }
        let sockets = self.held.as_ref().map(Held::sockets).unwrap_or_default();
        match Upgrade::start(sockets) {
            Ok(upgrade) => {
                let pid = upgrade.id();
                tracing::info!(pid, "process {pid} starts, and takes over when it is ready");
                Some(upgrade)
            }
            Err(error) => {
                tracing::error!("SIGUSR2: no new process can be started: {error}");
                life.settle();
                None
            }
        }
    }

    /// From here on the other one is the server.
    fn hand_over(&mut self, mut successor: Successor) -> Successor {
        self.held.iter().for_each(Held::give_up);
        if let Some(pidfile) = self.pidfile.take() {
            pidfile.give_up();
        }
        self.announcer.hand_over(successor.id());
        successor.let_go();
        successor
    }

    fn open(&self) -> usize {
        let aside = self.admin_connections.open() + self.stats_connections.open();
        self.live.connections.open() + aside
    }

    /// Answers what was accepted, for as long as it may take; gives up what is left.
    async fn end(mut self, why: &str, relieved: bool) -> Ending {
        let (begun, before) = (Instant::now(), self.live.traffic.answered());
        let drain = self.live.config().limits.drain;
        self.announcer.extend(drain + 2 * PATIENCE + FAREWELL);
        self.app.loader.close();
        self.announcer.life().enter(Phase::Draining, why);
        // With them, sockets that are only ours are closed when their listeners are done.
        self.held = None;
        let drained = {
            let (serving, open) = (&mut self.serving, &self.live.connections);
            let (admin, stats) = (&self.admin_connections, &self.stats_connections);
            timeout(drain, async move {
                while serving.join_next().await.is_some() {}
                open.closed().await;
                admin.closed().await;
                stats.closed().await;
            })
        };
        let drained = tokio::select! {
            drained = drained => drained.is_ok(),
            signal = second(&mut self.signals, relieved) => return self.cut(signal).await,
        };
        let cancelled = if drained { 0 } else { self.live.traffic.under_way() };
        let answered = self.live.traffic.answered() - before;
        if !drained {
            let open = self.open();
            let words = format!("limits.drain = {drain:?} has passed; what is left is cancelled");
            tracing::warn!(open, "{words}");
            self.announcer.life().enter(Phase::Cancelling, &words);
        }
        let ended = self.stop(PATIENCE).await;
        if !drained {
            let _ = timeout(FAREWELL, self.live.connections.closed()).await;
        }
        let took = begun.elapsed().as_secs_f64();
        self.last_word(format!(
            "{answered} requests answered in the drain, {cancelled} cancelled, in {took:.1} s"
        ));
        if !ended {
            tracing::warn!("stopped, in spite of runs that did not end when told to");
            return Ending::Stuck;
        }
        Ending::Drained
    }

    /// Ends without waiting for anything.
    async fn cut(mut self, signal: Signal) -> Ending {
        let cancelled = self.live.traffic.under_way();
        self.announcer.life().enter(Phase::Cancelling, &format!("{}: not waiting any more", signal.name()));
        self.stop(Duration::ZERO).await;
        self.last_word(format!("cut short by a second signal, {cancelled} requests cancelled"));
        Ending::Cut(signal)
    }

    fn last_word(&mut self, word: String) {
        self.announcer.life().enter(Phase::Stopped, &word);
        if let Some(pidfile) = &mut self.pidfile {
            pidfile.leave_word(word);
        }
    }

    /// Ends the threads; false where some do not end within `patience`.
    async fn stop(&self, patience: Duration) -> bool {
        let (loader, pool) = (self.app.loader.clone(), Arc::clone(&self.app.pool));
        let stop = move || {
            let loader = loader.stop(patience);
            pool.stop(patience) && loader
        };
        tokio::task::spawn_blocking(stop).await.unwrap_or(false)
    }
}

async fn ready(upgrade: &mut Option<Upgrade>) -> Result<Successor, String> {
    match upgrade {
        Some(upgrade) => upgrade.ready().await,
        None => std::future::pending().await,
    }
}

/// Waits for a signal that will not wait. Whoever ends a service may mean the process that has taken over, and reach both:
/// then the first says nothing new.
async fn second(signals: &mut Signals, mut relieved: bool) -> Signal {
    loop {
        match signals.next().await {
            signal @ (Signal::Terminate | Signal::Interrupt) => {
                if !std::mem::take(&mut relieved) {
                    return signal;
                }
            }
            Signal::User1 => logging::reopen(),
            signal @ (Signal::Hangup | Signal::User2) => {
                tracing::warn!("{}: not any more, this process is ending", signal.name());
            }
        }
    }
}
