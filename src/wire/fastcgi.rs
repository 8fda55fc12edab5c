//! One FastCGI connection: many requests, at the same time if the front end likes.
//!
//! Reading never waits for writing, nor either for a handler.

use super::{
    Allowance, Handler, Limits, LiveLimits, Pieces,
    budget::Share,
    connection,
    drain::Drain,
    exchange::{self, Exchange},
    socket::{SEND_PIECES, Socket},
};
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, response};
use predictd_protocol::gateway::{
    cgi::{self, StatusLine},
    detect::Wire,
    fastcgi::{
        self, Server,
        server::{Event, Incomplete, RequestId},
    },
};
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::pin,
    task::{Context, Poll},
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};

/// Serves the connection whose first bytes are in `buffer`.
pub(super) async fn serve<H: Handler>(
    mut socket: Socket,
    buffer: Vec<u8>,
    exchange: Exchange<H>,
    live: LiveLimits,
    drain: Drain,
) -> io::Result<()> {
    let limits = live.now();
    let mut connection = Connection {
        server: Server::new(limits.protocol, limits.connections as usize),
        answers: JoinSet::new(),
        running: Vec::new(),
        exchange,
        progress: Instant::now(),
        share: limits.budget.share(),
    };
    let fed = connection.server.feed(&buffer);
    drop(buffer);
    connection.fed(fed, &limits)?;
    connection.run(&mut socket, &live, drain).await?;
    if connection.server.lingers() {
        connection::linger(&mut socket).await;
    }
    Ok(())
}

/// Dropped, it cancels every request that is under way.
struct Connection<H> {
    server: Server,
    answers: JoinSet<Answer>,
    /// To cancel requests by.
    running: Vec<(RequestId, AbortHandle)>,
    exchange: Exchange<H>,
    /// When the peer last sent or took something, or a request was answered.
    progress: Instant,
    /// What is held of requests that are not complete.
    share: Share,
}

struct Answer {
    id: RequestId,
    head_only: bool,
    parts: response::Parts,
    body: Pieces,
}

/// What the socket did.
enum Moved {
    /// Bytes came in, and this is what the codec said of them.
    In(Result<(), fastcgi::Error>),
    /// The peer has closed.
    End,
    /// So many bytes went out.
    Out(usize),
}

impl<H: Handler> Connection<H> {
    async fn run(&mut self, socket: &mut Socket, live: &LiveLimits, drain: Drain) -> io::Result<()> {
        let mut draining = false;
        // Made once: a loop goes round several times a request.
        let mut begun = pin!(drain.begun());
        let mut idle_is_over = pin!(drain.idle_is_over());
        let mut timer = pin!(sleep_until(self.progress));
        while !self.server.is_done() {
            let (deadline, late) = self.deadline(&live.now());
            timer.as_mut().reset(deadline);
            tokio::select! {
                biased;
                Some(answer) = self.answers.join_next() => self.answered(answer),
                moved = poll_fn(|cx| poll_move(&mut self.server, socket, live, cx)) => match moved? {
                    Moved::In(fed) => self.fed(fed, &live.now())?,
                    Moved::End => return Ok(()),
                    Moved::Out(sent) => {
                        self.server.advance(sent);
                        self.progress = Instant::now();
                    }
                },
                () = &mut timer => match late {
                    Late::Request(id) => self.refuse(id, StatusCode::REQUEST_TIMEOUT, "the request did not come in time"),
                    Late::Peer(reason) => return Err(io::Error::new(io::ErrorKind::TimedOut, reason)),
                    Late::Nobody => {}
                },
                () = &mut begun, if !draining => {
                    draining = true;
                    self.server.drain();
                }
                () = &mut idle_is_over, if draining && self.server.in_flight() == 0 && self.server.unsent() == 0 => {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Acts on what the codec has read, and closes where it says so.
    fn fed(&mut self, fed: Result<(), fastcgi::Error>, limits: &Limits) -> io::Result<()> {
        self.progress = Instant::now();
        while let Some(event) = self.server.poll() {
            match event {
                Event::Request { id, mut request, body } => {
                    Allowance::grant(&mut request.parts, limits);
                    let body = self.share.part(&body).tie(body);
                    self.begin(id, request, body);
                }
                Event::Reject { id, error } => self.refuse(id, error.status(), &error.to_string()),
                Event::Abort { id } => self.cancel(id),
            }
        }
        self.count();
        fed.map_err(|error| {
            tracing::warn!(wire = "fastcgi", "connection closed: {error}");
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    /// Where the requests that are not complete hold more than there is, the largest has to go.
    fn count(&mut self) {
        while let Err(error) = self.share.resize(self.server.held()) {
            let Some(id) = self.server.heaviest() else { return };
            self.refuse(id, StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
        }
    }

    fn begin(&mut self, id: RequestId, request: cgi::Request, body: Bytes) {
        let head_only = request.parts.method == Method::HEAD;
        let answer = self.exchange.clone().answer(Wire::FastCgi, request.parts, body);
        let handle = self.answers.spawn(async move {
            let (parts, body) = answer.await;
            Answer { id, head_only, parts, body }
        });
        self.running.push((id, handle));
    }

    fn cancel(&mut self, id: RequestId) {
        self.running.retain(|(running, handle)| {
            if *running == id {
                handle.abort();
            }
            *running != id
        });
    }

    /// Passes a handler's answer on; a task that was aborted has none.
    fn answered(&mut self, answer: Result<Answer, tokio::task::JoinError>) {
        self.progress = Instant::now();
        let Ok(Answer { id, head_only, parts, body }) = answer else { return };
        self.running.retain(|(running, _)| *running != id);
        self.answer(id, &parts, body, head_only);
    }

    fn refuse(&mut self, id: RequestId, status: StatusCode, reason: &str) {
        let (parts, body) = exchange::refusal(&self.exchange.traffic, Wire::FastCgi, status, reason);
        self.answer(id, &parts, body, false);
    }

    fn answer(&mut self, id: RequestId, parts: &response::Parts, body: Pieces, head_only: bool) {
        let mut head = BytesMut::with_capacity(512);
        cgi::response_head(
            StatusLine::Cgi,
            parts,
            exchange::content_length(parts, &body, head_only),
            &mut head,
        );
        let body = if head_only { Pieces::default() } else { body };
        self.server.answer_in_pieces(id, &head, body.into_inner());
    }

    /// When the peer has been too slow, and what then.
    fn deadline(&self, limits: &Limits) -> (Instant, Late) {
        let after = |allowed, late| (self.progress + allowed, late);
        if self.server.unsent() > 0 {
            return after(limits.write_timeout, Late::Peer("the answer was not taken in time"));
        }
        match self.server.incomplete() {
            Some(Incomplete { id, has_head: true, .. }) => after(limits.body_timeout, Late::Request(id)),
            Some(Incomplete { id, has_head: false, .. }) => after(limits.head_timeout, Late::Request(id)),
            None if self.server.in_flight() == 0 => after(limits.idle_timeout, Late::Peer("idle")),
            None => (Instant::now() + limits.idle_timeout, Late::Nobody),
        }
    }
}

/// Who is too slow.
enum Late {
    /// The sender of this request.
    Request(RequestId),
    /// The peer as a whole.
    Peer(&'static str),
    /// A handler; its own deadline ends it.
    Nobody,
}

/// Sends what there is to send, and receives what comes.
fn poll_move(
    server: &mut Server,
    socket: &mut Socket,
    live: &LiveLimits,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Moved>> {
    let mut pieces = [IoSlice::new(&[]); SEND_PIECES];
    let mut count = 0;
    for (piece, chunk) in pieces.iter_mut().zip(server.chunks()) {
        *piece = IoSlice::new(chunk);
        count += 1;
    }
    if count > 0
        && let Poll::Ready(sent) = socket.poll_send(cx, &pieces[..count])
    {
        return Poll::Ready(sent.map(Moved::Out));
    }
    socket.poll_receive(cx, usize::MAX, |bytes| match bytes {
        [] => Moved::End,
        bytes => {
            server.set_limits(live.now().protocol);
            Moved::In(server.feed(bytes))
        }
    })
}
