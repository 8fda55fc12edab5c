//! What a peer may make us hold, and how long it may keep us.

use super::Budget;
use predictd_protocol::gateway::{self, detect::Wires};
use std::time::Duration;

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
