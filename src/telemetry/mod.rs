//! What the server says of itself.

pub mod access;
pub mod logging;
mod request_id;
pub mod statistics;

pub use request_id::RequestId;
