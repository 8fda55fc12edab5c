//! FastCGI 1.0: records, and the state machines of the two sides that exchange them.
//!
//! Not here: sockets and time. [`Server`] is the application's side, [`Client`] the front end's, for `predictd call` and
//! for tests. Source: the FastCGI Specification of 29 April 1996; its names are used for its constants.

pub mod client;
mod error;
mod outbox;
pub mod pairs;
pub mod record;
mod request;
pub mod server;

pub use client::Client;
pub use error::Error;
pub use server::Server;

#[cfg(test)]
mod tests;
