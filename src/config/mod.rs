//! What was asked: the configuration and each model's own, as typed and with their defaults.

pub mod model;
pub mod units;
