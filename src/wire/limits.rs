//! What a peer may make us hold, and how long it may keep us.

use super::Budget;
use predictd_protocol::gateway::{self, detect::Wires};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// Bounds on every connection of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The protocols that are spoken.
    pub wires: Wires,
    /// Bytes of heads and bodies.
    pub protocol: gateway::Limits,
    /// Bytes of bodies that all connections together may hold.
    pub budget: Budget,
    /// Connections at once: what FastCGI's `FCGI_MAX_CONNS` is answered with.
    pub connections: u32,
    /// From the first byte of a head (of a connection: from accept) to its end.
    pub head_timeout: Duration,
    /// Between two reads of a body.
    pub body_timeout: Duration,
    /// Between two writes of an answer.
    pub write_timeout: Duration,
    /// For a kept connection without a request.
    pub idle_timeout: Duration,
}

/// Limits that may change while connections are served; clones share them.
#[derive(Clone, Debug)]
pub struct LiveLimits(Arc<RwLock<Arc<Limits>>>);

impl LiveLimits {
    /// As they are now.
    #[must_use]
    pub fn now(&self) -> Arc<Limits> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these bind, requests to come on kept connections too. The bytes that are held go on to count, so that only
    /// the bound of the budget that is there changes.
    pub fn set(&self, limits: Limits) {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        now.budget.set_limit(limits.budget.limit());
        *now = Arc::new(Limits { budget: now.budget.clone(), ..limits });
    }
}

impl From<Limits> for LiveLimits {
    fn from(limits: Limits) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(limits))))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wires: Wires::ALL,
            protocol: gateway::Limits::default(),
            budget: Budget::new(1 << 30),
            connections: 8192,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
        }
    }
}
