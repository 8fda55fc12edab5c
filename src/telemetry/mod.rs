//! What the server says of itself.

pub mod access;
pub mod logging;
pub mod phase;
mod request_id;
mod sink;
pub mod statistics;

pub use request_id::RequestId;
