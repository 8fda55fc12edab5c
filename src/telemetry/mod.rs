//! What the server says of itself.

pub mod access;
pub mod alarms;
pub mod episode;
mod exposition;
pub mod histogram;
pub mod logging;
pub mod metrics;
pub mod phase;
mod request_id;
mod sink;
pub mod snapshot;
pub mod statistics;
pub mod traffic;
pub mod uwsgi_stats;

pub use request_id::RequestId;
