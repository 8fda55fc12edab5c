//! What the server says of itself.

pub mod access;
pub mod logging;
