//! predictd as a library: [`wire::serve`] answers uwsgi by any tower service, and [`api::App`] calls models, so that routes of
//! your own can do both. `examples/handler.rs` shows it.

pub mod api;
pub mod cli;
pub mod config;
pub mod model;
pub mod os;
pub mod pool;
pub mod recipe;
pub mod server;
pub mod serving;
pub mod telemetry;
pub mod wire;
