//! HTTP/1.1 by hyper, on the same sockets and by the same rules as the other wires.

use super::{
    Allowance, Handler, Limits, LiveLimits, Pieces, connection,
    drain::Drain,
    exchange::{self, Exchange},
    socket::Socket,
};
use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::PathAndQuery,
};
use http_body_util::BodyExt;
use hyper::{
    body::{Body as _, Incoming},
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use predictd_protocol::gateway::{
    cgi::{self, RemoteAddr},
    detect::Wire,
};
use std::{
    convert::Infallible,
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, sleep_until, timeout};

/// Serves the connection whose first bytes are in `buffer`.
pub(super) async fn serve<H: Handler>(
    socket: Socket,
    buffer: Vec<u8>,
    exchange: Exchange<H>,
    limits: LiveLimits,
    drain: Drain,
) -> io::Result<()> {
    let peer = socket.peer().map(RemoteAddr);
    let (activity, traffic) = (Activity::new(), exchange.traffic.clone());
    let io = Io { socket, start: buffer.into(), activity: activity.clone() };
    let service = {
        let (limits, activity, drain) = (limits.clone(), activity.clone(), drain.clone());
        // hyper wants a service that can be moved.
        let exchange = Box::new(exchange);
        service_fn(move |mut request: Request<Incoming>| {
            activity.set(State::Busy);
            if let Some(peer) = &peer {
                request.extensions_mut().insert(peer.clone());
            }
            let answer = answer(Exchange::clone(&exchange), request, limits.now(), drain.clone());
            let activity = activity.clone();
            Box::pin(async move {
                let response = answer.await;
                activity.set(State::Answered);
                Ok::<_, Infallible>(response)
            })
        })
    };
    let mut connection =
        http1::Builder::new().max_header_size(limits.now().protocol.head).serve_connection(io, service);
    // Not `poll_without_shutdown`: an answer that came before its request had been read could be left unsent.
    let ended = tokio::select! {
        biased;
        ended = &mut connection => Some(ended),
        () = activity.timed_out(&limits) => None,
        () = drain.idle_is_over() => {
            Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                biased;
                ended = &mut connection => Some(ended),
                () = activity.timed_out(&limits) => None,
            }
        }
    };
    let mut socket = connection.into_parts().io.socket;
    match ended {
        None => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer was too slow, or idle")),
        Some(ended) => {
            if let Err(error) = &ended
                && let Some(status) = refused_by_hyper(error)
            {
                exchange::refused(&traffic, Wire::Http, status, &error.to_string());
            }
            // What hyper has not read may still be coming: a refused body, or rubbish.
            connection::linger(&mut socket).await;
            ended.map_err(io::Error::other)
        }
    }
}

/// What hyper has answered by itself to a head that is none. (A path over 64 KiB is 414, if `limits.head` allows one at all:
/// that, it does not tell.)
fn refused_by_hyper(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_too_large() {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    (error.is_parse() && !error.is_parse_version_h2()).then_some(StatusCode::BAD_REQUEST)
}

/// One request by the rules of all wires.
async fn answer<H: Handler>(
    exchange: Exchange<H>,
    request: Request<Incoming>,
    limits: Arc<Limits>,
    drain: Drain,
) -> Response<Pieces> {
    let (mut parts, body) = request.into_parts();
    let head_only = parts.method == Method::HEAD;
    parts.headers.remove("proxy");
    join_repeated(&mut parts.headers);
    parts.uri = canonical(&parts.uri);
    let (mut parts, body) = match read(body, &limits).await {
        Ok(body) => {
            Allowance::grant(&mut parts, &limits);
            exchange.answer(Wire::Http, parts, body).await
        }
        Err((status, reason)) => {
            let (mut parts, body) = exchange::refusal(&exchange.traffic, Wire::Http, status, &reason);
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            (parts, body)
        }
    };
    if drain.has_begun() {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let length = exchange::content_length(&parts, &body, head_only);
    parts.headers.remove(header::CONTENT_LENGTH);
    if cgi::has_length(parts.status) {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, body)
}

/// Joins headers that are given several times, as the other wires do.
fn join_repeated(headers: &mut HeaderMap) {
    if headers.len() == headers.keys_len() {
        return;
    }
    let repeated: Vec<HeaderName> =
        headers.keys().filter(|name| headers.get_all(*name).iter().nth(1).is_some()).cloned().collect();
    for name in repeated {
        let separator: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
        let values: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&values.join(separator)) {
            headers.insert(name, joined);
        }
    }
}

/// The path in its one spelling, so that it equals what the other wires give.
fn canonical(uri: &Uri) -> Uri {
    let path = cgi::canonical_path(uri.path().as_bytes());
    let target = match uri.query() {
        None => path,
        Some(query) => [&path[..], b"?", query.as_bytes()].concat().into(),
    };
    PathAndQuery::from_maybe_shared(target).map_or_else(|_| uri.clone(), Uri::from)
}

/// Reads a body, which may be as long as the limit says and must keep coming.
async fn read(mut body: Incoming, limits: &Limits) -> Result<Bytes, (StatusCode, String)> {
    let too_large = |error: predictd_protocol::gateway::Error| (error.status(), error.to_string());
    let max = limits.protocol.body;
    if let Some(length) = body.size_hint().exact().filter(|length| *length > max) {
        return Err(too_large(predictd_protocol::gateway::Error::BodyTooLarge(length, max)));
    }
    let mut share = limits.budget.share();
    let mut first = Bytes::new();
    let mut all = Vec::new();
    loop {
        let frame = match timeout(limits.body_timeout, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err((StatusCode::BAD_REQUEST, format!("the body is broken: {error}")));
            }
            Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time".into())),
        };
        let Ok(data) = frame.into_data() else { continue };
        if (first.len() + all.len() + data.len()) as u64 > max {
            return Err(too_large(predictd_protocol::gateway::Error::StreamTooLarge(max)));
        }
        share
            .resize((first.len() + all.len() + data.len()).max(all.capacity()))
            .map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        // A body of one piece is not copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(share.tie(if all.is_empty() { first } else { all.into() }))
}

/// What a connection is doing, and since when.
#[derive(Clone, Debug)]
struct Activity(Arc<Mutex<(State, Instant)>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No request has begun.
    Idle,
    /// A head is arriving.
    Head,
    /// A body arrives, or the handler works: others watch over that.
    Busy,
    /// An answer is being taken.
    Answered,
}

impl Activity {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((State::Head, Instant::now()))))
    }

    fn lock(&self) -> MutexGuard<'_, (State, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.lock() = (state, Instant::now());
    }

    fn received(&self) {
        let mut state = self.lock();
        if matches!(state.0, State::Idle | State::Answered) {
            *state = (State::Head, Instant::now());
        }
    }

    fn sent(&self) {
        let mut state = self.lock();
        if matches!(state.0, State::Idle | State::Answered) {
            *state = (State::Answered, Instant::now());
        }
    }

    /// Nothing is left to send.
    fn flushed(&self) {
        let mut state = self.lock();
        if state.0 == State::Answered {
            *state = (State::Idle, Instant::now());
        }
    }

    /// Waits until the peer has been too slow, or idle for too long. What is allowed changes only while the connection
    /// is polled, so this is to be polled after it, each time.
    async fn timed_out(&self, limits: &LiveLimits) {
        let mut timer = pin!(sleep_until(Instant::now() + limits.now().head_timeout));
        poll_fn(|cx| {
            loop {
                let (state, since) = *self.lock();
                let limits = limits.now();
                let allowed = match state {
                    State::Idle => limits.idle_timeout,
                    State::Head => limits.head_timeout,
                    State::Answered => limits.write_timeout,
                    State::Busy => return Poll::Pending,
                };
                let deadline = since + allowed;
                // One that has moved on is looked at when the old one has passed: that is cheaper.
                if deadline < timer.deadline() || timer.is_elapsed() {
                    timer.as_mut().reset(deadline);
                }
                ready!(timer.as_mut().poll(cx));
                if deadline <= Instant::now() {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}

/// The socket as hyper wants it, with what was read already in front.
struct Io {
    socket: Socket,
    start: Bytes,
    activity: Activity,
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.start.is_empty() {
            let length = self.start.len().min(cursor.remaining());
            cursor.put_slice(&self.start[..length]);
            self.start.advance(length);
            return Poll::Ready(Ok(()));
        }
        let received = self.socket.poll_receive(cx, cursor.remaining(), |bytes| cursor.put_slice(bytes));
        if received.is_ready() {
            self.activity.received();
        }
        received
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = self.socket.poll_send(cx, parts);
        if sent.is_ready() {
            self.activity.sent();
        }
        sent
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Called when all has been given to `poll_write`.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown_write())
    }
}
