//! One connection from its first byte: which wire it speaks, and how it is closed.

use super::{
    Handler, Limits, LiveLimits,
    drain::Drain,
    exchange::{self, Exchange},
    fastcgi, http,
    socket::Socket,
    uwsgi,
};
use crate::telemetry::traffic::Traffic;
use bytes::BytesMut;
use predictd_protocol::gateway::{
    cgi::{self, StatusLine},
    detect::{self, Stranger, Wire},
};
use std::{future::poll_fn, io, time::Duration};
use tokio::time::timeout;

/// How long an unread rest may keep us after an early answer, and how much of it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(
    mut socket: Socket,
    exchange: Exchange<H>,
    live: LiveLimits,
    drain: Drain,
) {
    let limits = live.now();
    let mut buffer = Vec::new();
    let (wire, served) = match timeout(limits.head_timeout, first_bytes(&mut socket, &mut buffer, &limits))
        .await
    {
        Ok(Ok(Some(Ok(wire)))) => match wire {
            Wire::Uwsgi => (wire, uwsgi::serve(socket, buffer, exchange, &limits).await),
            // Boxed, so that the many short connections of uwsgi are not moved about as large as these.
            Wire::FastCgi => (wire, Box::pin(fastcgi::serve(socket, buffer, exchange, live, drain)).await),
            Wire::Http => (wire, Box::pin(http::serve(socket, buffer, exchange, live, drain)).await),
        },
        Ok(Ok(Some(Err(stranger)))) => {
            return turn_away(&mut socket, &exchange.traffic, &stranger, &limits).await;
        }
        // A probe that only connects is no news.
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => return tracing::debug!("connection lost: {error}"),
    };
    if let Err(error) = served {
        tracing::debug!(%wire, "connection lost: {error}");
    }
}

/// Reads until the wire is known; `None` where the peer says nothing.
async fn first_bytes(
    socket: &mut Socket,
    buffer: &mut Vec<u8>,
    limits: &Limits,
) -> io::Result<Option<Result<Wire, Stranger>>> {
    loop {
        let mut keep = |bytes: &[u8]| {
            buffer.extend_from_slice(bytes);
            bytes.len()
        };
        if poll_fn(|cx| socket.poll_receive(cx, usize::MAX, &mut keep)).await? == 0 {
            return Ok(None);
        }
        if let Some(found) = detect::detect(buffer, limits.wires).transpose() {
            return Ok(Some(found));
        }
    }
}

/// Says in the log what the peer seems to want, and to a browser or curl that it is wrong here.
async fn turn_away(socket: &mut Socket, traffic: &Traffic, stranger: &Stranger, limits: &Limits) {
    tracing::warn!("turned away: {stranger}");
    if let Stranger::Closed { wire: Wire::Http, .. } = stranger {
        let (parts, body) =
            exchange::refusal(traffic, Wire::Http, ::http::StatusCode::BAD_REQUEST, &stranger.to_string());
        let mut head = BytesMut::with_capacity(256);
        cgi::response_head(StatusLine::Http, &parts, body.len() as u64, &mut head);
        let _ = socket.send_all(&head, &body, limits.write_timeout).await;
        linger(socket).await;
    }
}

/// Closes after an answer that came before the request had been read to its end. Closing at once would reset the
/// connection and could take the answer with it, so the rest is read and thrown away, for a while.
pub(super) async fn linger(socket: &mut Socket) {
    let drained = async {
        socket.shutdown_write()?;
        let mut rest = Vec::with_capacity(64 * 1024);
        let mut total = 0;
        while total < LINGER_BYTES {
            rest.clear();
            match socket.receive(&mut rest).await? {
                0 => break,
                read => total += read,
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(LINGER, drained).await;
}
