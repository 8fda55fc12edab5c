//! What a running server changes when its configuration has, and what it cannot.

use super::Unavailable;
use crate::{
    api,
    config::{Config, Effect},
    os::{
        memory,
        users::{self, UnknownAccount},
    },
    telemetry::{logging, traffic::Traffic},
    wire::{self, AllowedUsers, Budget, Connections, Drain, Handler, Listener, LiveLimits},
};
use predictd_protocol::gateway::{
    self,
    detect::{Wire, Wires},
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// The configuration in force, and what goes by it; clones share it.
#[derive(Clone, Debug)]
pub struct Live {
    config: Arc<Mutex<Arc<Config>>>,
    /// What the server was started with.
    started: Arc<Config>,
    pub(super) limits: LiveLimits,
    pub(super) connections: Connections,
    pub(super) traffic: Traffic,
    pub(super) admin_limits: LiveLimits,
    pub(super) pixels: Arc<AtomicU64>,
    pub(super) allowed: AllowedUsers,
    log: Option<logging::Filter>,
}

impl Live {
    /// As `config` has it; the log is changed through `log`, if it is ours.
    ///
    /// # Errors
    /// Where one of `socket.allow_users` does not exist.
    pub fn of(config: Arc<Config>, log: Option<logging::Filter>) -> Result<Self, Unavailable> {
        let allowed = AllowedUsers::new(allowed(&config).map_err(Unavailable::AllowUsers)?);
        Ok(Self {
            allowed,
            limits: limits(&config).into(),
            connections: Connections::new(config.limits.connections),
            traffic: Traffic::of(api::paths()),
            admin_limits: admin_limits(&config).into(),
            pixels: Arc::new(config.limits.pixels.into()),
            config: Arc::new(Mutex::new(Arc::clone(&config))),
            started: config,
            log,
        })
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers the public's requests that come by `listener`, within the limits in force, until the drain begins.
    pub fn serve<H: Handler>(
        &self,
        listener: Listener,
        handler: H,
        drain: Drain,
    ) -> impl Future<Output = ()> + Send + use<H> {
        let (traffic, limits) = (self.traffic.clone(), self.limits.clone());
        let (connections, listener) = (self.connections.clone(), listener.allowing(&self.allowed));
        wire::serve(listener, handler, traffic, limits, connections, drain)
    }

    /// Goes by `config` from now on. Says of each key that needs more than that.
    ///
    /// # Errors
    /// Why not; then nothing has changed.
    pub fn apply(&self, config: &Config) -> Result<Vec<String>, String> {
        let allowed = allowed(config).map_err(|error| format!("socket.allow_users: {error}"))?;
        self.allowed.set(allowed);
        self.limits.set(limits(config));
        self.connections.resize(config.limits.connections);
        self.admin_limits.set(admin_limits(config));
        self.pixels.store(config.limits.pixels, Ordering::Relaxed);
        if let Some(log) = &self.log {
            log.set(config.log.level, config.log.access);
        }
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.clone());
        let changes = self.started.changes(config).into_iter();
        let fixed = changes.filter(|change| change.effect == Effect::Restart);
        Ok(fixed.map(|change| format!("{change} at the next start only")).collect())
    }
}

fn allowed(config: &Config) -> Result<Vec<u32>, UnknownAccount> {
    config.socket.allow_users.iter().map(users::user_id).collect()
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

/// Connections to the admin interface: people and their tools.
pub(super) const ADMIN_CONNECTIONS: u32 = 64;

/// Connections to the statistics: tools that look now and then.
pub(super) const STATS_CONNECTIONS: u32 = 16;

/// HTTP alone, with a budget of its own: when everything else is full, somebody will want to see why.
fn admin_limits(config: &Config) -> wire::Limits {
    wire::Limits {
        budget: Budget::new(config.limits.body.saturating_mul(2)),
        wires: Wires::from_iter([Wire::Http]),
        connections: ADMIN_CONNECTIONS,
        ..limits(config)
    }
}
