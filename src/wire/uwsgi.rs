//! One uwsgi connection: one request, one answer, closed. nginx never reuses it.

use super::{
    Allowance, Handler, Limits, Pieces, connection,
    exchange::{self, Exchange},
    socket::Socket,
};
use crate::telemetry::traffic::Traffic;
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, response};
use predictd_protocol::gateway::{
    cgi::{self, StatusLine},
    detect::Wire,
    uwsgi::{self, Packet},
};
use std::{io, time::Duration};
use tokio::time::timeout;

/// How long a handler runs before its client is watched: most have answered by then, and need not pay for it.
const UNWATCHED: Duration = Duration::from_millis(10);

/// Serves the connection whose first bytes are in `buffer`.
pub(super) async fn serve<H: Handler>(
    mut socket: Socket,
    mut buffer: Vec<u8>,
    exchange: Exchange<H>,
    limits: &Limits,
) -> io::Result<()> {
    let socket = &mut socket;
    let (mut request, end) = loop {
        match uwsgi::decode(&buffer, &limits.protocol) {
            Ok(Some(Packet::Request(request, end))) => break (request, end),
            Ok(Some(Packet::Ping)) => {
                return socket.send_all(&uwsgi::PONG, &Pieces::default(), limits.write_timeout).await;
            }
            Ok(Some(Packet::Unavailable(modifier))) => {
                tracing::warn!(wire = "uwsgi", "unavailable modifier requested: {modifier}; closed");
                return Ok(());
            }
            Ok(None) => {}
            Err(error) => {
                return refuse(
                    socket,
                    &exchange.traffic,
                    error.status(),
                    &error.to_string(),
                    limits.write_timeout,
                )
                .await;
            }
        }
        buffer.reserve(4096);
        match timeout(limits.head_timeout, socket.receive(&mut buffer)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the head did not come in time")),
        }
    };
    let length = request.length.unwrap_or(0);
    let length = usize::try_from(length).expect("the limit on bodies fits memory, and was checked");
    let mut body = buffer.split_off(end.min(buffer.len()));
    let mut share = limits.budget.share();
    if let Err(error) = share.resize(body.len().min(length)) {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return refuse(socket, &exchange.traffic, status, &error.to_string(), limits.write_timeout).await;
    }
    while body.len() < length {
        // By what has come, not by what is announced.
        body.reserve((length - body.len()).min(body.len().max(64 * 1024)));
        if let Err(error) = share.resize(body.capacity()) {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return refuse(socket, &exchange.traffic, status, &error.to_string(), limits.write_timeout).await;
        }
        match timeout(limits.body_timeout, socket.receive(&mut body)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0)) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client went away in its body"));
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let reason = "the body did not come in time";
                return refuse(
                    socket,
                    &exchange.traffic,
                    StatusCode::REQUEST_TIMEOUT,
                    reason,
                    limits.write_timeout,
                )
                .await;
            }
        }
    }
    body.truncate(length);
    let head_only = request.parts.method == Method::HEAD;
    Allowance::grant(&mut request.parts, limits);
    let answer = exchange.answer(Wire::Uwsgi, request.parts, share.tie(Bytes::from(body)));
    let Some((parts, body)) = unless_closed(socket, answer).await else { return Ok(()) };
    answer_with(socket, &parts, &body, head_only, limits.write_timeout).await
}

/// Runs `answer` to its end, or drops it when the client goes away.
async fn unless_closed<T>(socket: &mut Socket, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    if let Ok(done) = timeout(UNWATCHED, &mut answer).await {
        return Some(done);
    }
    tokio::select! {
        done = answer => Some(done),
        () = socket.closed() => None,
    }
}

async fn answer_with(
    socket: &mut Socket,
    parts: &response::Parts,
    body: &Pieces,
    head_only: bool,
    write_timeout: Duration,
) -> io::Result<()> {
    let mut head = BytesMut::with_capacity(512);
    cgi::response_head(StatusLine::Http, parts, exchange::content_length(parts, body, head_only), &mut head);
    let none = Pieces::default();
    socket.send_all(&head, if head_only { &none } else { body }, write_timeout).await
}

/// Answers before the request has been read to its end.
async fn refuse(
    socket: &mut Socket,
    traffic: &Traffic,
    status: StatusCode,
    reason: &str,
    write_timeout: Duration,
) -> io::Result<()> {
    let (parts, body) = exchange::refusal(traffic, Wire::Uwsgi, status, reason);
    answer_with(socket, &parts, &body, false, write_timeout).await?;
    connection::linger(socket).await;
    Ok(())
}
