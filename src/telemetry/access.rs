//! The access log: one event a request, on the target `access`.

use bytes::Bytes;
use http::{Method, Uri, request, response, uri::PathAndQuery};
use predictd_protocol::{
    excerpt::{Excerpt, excerpt},
    gateway::cgi::RemoteAddr,
};
use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// The target of these events, to be filtered by.
pub const TARGET: &str = "access";

/// What a handler may add to its response's extensions, to be logged with it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Waited for a worker.
    pub queue_wait: Duration,
    /// Workers made its tensors, and joined them with others'.
    pub prepare: Duration,
    /// The model ran.
    pub run: Duration,
    /// From the end of the run until its answer was made of the outputs.
    pub finish: Duration,
    /// Rows of the batch that it was part of.
    pub batch_rows: usize,
    /// The worker's number.
    pub worker: usize,
}

/// A line begun when its request had arrived. Dropped without [`end`](Self::end), it says that nobody waited for the
/// answer any more.
#[derive(Debug)]
pub(crate) struct Line {
    wire: &'static str,
    method: Method,
    uri: Uri,
    client: Bytes,
    received: usize,
    begun: Instant,
    ended: bool,
}

impl Line {
    pub(crate) fn begin(wire: &'static str, parts: &request::Parts, received: usize) -> Self {
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let client = parts.extensions.get::<RemoteAddr>().map(|addr| addr.0.clone()).unwrap_or_default();
        Self { wire, method, uri, client, received, begun: Instant::now(), ended: false }
    }

    pub(crate) fn end(&mut self, id: &dyn Display, parts: &response::Parts, sent: usize) {
        self.ended = true;
        let work = parts.extensions.get::<Work>().copied().unwrap_or_default();
        tracing::info!(
            target: TARGET,
            request_id = %id,
            wire = self.wire,
            client = %client(&self.client),
            method = %excerpt(self.method.as_str()),
            path = %path(&self.uri),
            status = parts.status.as_u16(),
            received = self.received,
            sent,
            total_ms = milliseconds(self.begun.elapsed()),
            queue_ms = milliseconds(work.queue_wait),
            prepare_ms = milliseconds(work.prepare),
            run_ms = milliseconds(work.run),
            batch_rows = work.batch_rows,
            worker = work.worker,
        );
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.ended {
            let (method, path) = (excerpt(self.method.as_str()), path(&self.uri));
            let total_ms = milliseconds(self.begun.elapsed());
            tracing::info!(target: TARGET, wire = self.wire, %method, %path, total_ms, "the client went away");
        }
    }
}

/// What a front end says that its client's address is: no address is longer.
fn client(address: &[u8]) -> impl Display {
    address[..address.len().min(100)].escape_ascii()
}

/// The path and the query, which may be as long as a head.
fn path(uri: &Uri) -> Excerpt<'_> {
    Excerpt::of(uri.path_and_query().map_or("", PathAndQuery::as_str), 1000)
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
