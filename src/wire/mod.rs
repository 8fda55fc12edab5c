//! From sockets to `http::Request`, to any [`tower::Service`], and back. Knows nothing of models.
//!
//! Whole in, whole out: a handler is called once its request's body is complete, and what it answers is sent with one
//! Content-Length. When the client goes away, the handler's future is dropped, and with it whatever it waits for.

mod allowance;
mod budget;
mod connection;
mod connections;
mod drain;
mod dump;
mod exchange;
mod fastcgi;
mod http;
mod limits;
mod listener;
mod peers;
mod pieces;
mod sentry;
mod socket;
mod uwsgi;

pub use allowance::{Allowance, Growing, Overgrown};
pub use budget::{Budget, Exhausted};
pub use connections::Connections;
pub use drain::Drain;
pub use dump::dump;
pub use limits::{Limits, LiveLimits};
pub use listener::{Listener, serve};
pub use peers::AllowedUsers;
pub use pieces::Pieces;
pub use sentry::Sentry;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use std::error::Error;
use tower::Service;

/// The body that handlers get: complete.
pub type Body = Full<Bytes>;

/// What can answer requests: an axum `Router`, or any service of this shape.
pub trait Handler:
    Service<
        Request<Body>,
        Response = Response<Self::ResponseBody>,
        Error: Into<BoxError> + Send,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// The body that it answers with.
    type ResponseBody: http_body::Body<Data: Send, Error: Into<BoxError> + Send> + Send;
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<S, B> Handler for S
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError> + Send, Future: Send>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data: Send, Error: Into<BoxError> + Send> + Send,
{
    type ResponseBody = B;
}
