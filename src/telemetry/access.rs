//! The access log: one event a request, on the target `access`.

use super::{
    RequestId,
    traffic::{Traffic, UnderWay},
};
use bytes::Bytes;
use http::{Method, StatusCode, Uri, request, response, uri::PathAndQuery};
use predictd_protocol::{
    excerpt::{Excerpt, excerpt},
    gateway::{cgi::RemoteAddr, detect::Wire},
};
use std::{fmt::Display, time::Duration};

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
/// answer any more. What is logged here is what is counted: a line for each request, whatever became of it.
#[derive(Debug)]
pub(crate) struct Line {
    request: UnderWay,
    id: RequestId,
    method: Method,
    uri: Uri,
    client: Bytes,
    received: usize,
    ended: bool,
}

/// Of an answer that somebody asks for again and again to look at the server: it would fill the log, and is told on the level
/// `debug` only.
#[derive(Clone, Copy, Debug)]
pub struct Polled;

impl Line {
    pub(crate) fn begin(
        traffic: &Traffic,
        wire: Wire,
        id: RequestId,
        parts: &request::Parts,
        received: usize,
    ) -> Self {
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let client = parts.extensions.get::<RemoteAddr>().map(|addr| addr.0.clone()).unwrap_or_default();
        let request = traffic.begin(wire, uri.path());
        Self { request, id, method, uri, client, received, ended: false }
    }

    pub(crate) fn end(&mut self, parts: &response::Parts, sent: usize) {
        self.ended = true;
        let took = self.request.answered(parts.status);
        let work = parts.extensions.get::<Work>().copied().unwrap_or_default();
        self.request.sent(work.worker, sent);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: TARGET,
                    request_id = %self.id,
                    wire = self.request.wire().name(),
                    client = %client(&self.client),
                    method = %excerpt(self.method.as_str()),
                    path = %path(&self.uri),
                    status = parts.status.as_u16(),
                    received = self.received,
                    sent,
                    total_ms = milliseconds(took),
                    queue_ms = milliseconds(work.queue_wait),
                    prepare_ms = milliseconds(work.prepare),
                    run_ms = milliseconds(work.run),
                    batch_rows = work.batch_rows,
                    worker = work.worker,
                )
            };
        }
        if parts.extensions.get::<Polled>().is_some() {
            line!(debug);
        } else {
            line!(info);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.ended {
            let (method, path) = (excerpt(self.method.as_str()), path(&self.uri));
            let total_ms = milliseconds(self.request.elapsed());
            tracing::info!(
                target: TARGET,
                request_id = %self.id,
                wire = self.request.wire().name(),
                %method,
                %path,
                total_ms,
                "the client went away"
            );
        }
    }
}

/// The line of a request that was answered before all of it had been read, so that nothing more is known of it.
pub(crate) fn refused(traffic: &Traffic, wire: Wire, id: &RequestId, status: StatusCode) {
    traffic.begin_unread(wire).answered(status);
    tracing::info!(target: TARGET, request_id = %id, wire = wire.name(), status = status.as_u16());
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
