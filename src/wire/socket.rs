//! A connected socket that the reactor learns of only when there is reason to wait for it.
//!
//! Most requests are there in full when their connection is accepted, and most answers fit the kernel's buffer: trying
//! first saves the two `epoll_ctl` calls that registering and deregistering cost.

use super::Pieces;
use bytes::Bytes;
use rustix::{
    io::Errno,
    net::{self, RecvFlags, SendAncillaryBuffer, SendFlags},
};
use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    iter,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{io::Interest, net::UnixStream, time::timeout};

/// Pieces of answers that one system call may send.
pub(super) const SEND_PIECES: usize = 16;

/// Bytes of one read where many connections wait at the same time.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Where bytes land before it is known whose they are, so that a kept connection needs no buffer while it waits.
    static RECEIVED: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// A non-blocking stream socket of any family.
#[derive(Debug)]
pub(super) struct Socket {
    /// Unknown to the reactor until it is needed there.
    fresh: Option<OwnedFd>,
    /// Tokio has no safe way to watch a descriptor as such. It watches a `UnixStream` by its descriptor alone, so that
    /// any descriptor may stand in one; of it, only the readiness is used.
    watched: Option<UnixStream>,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fresh: Some(fd), watched: None }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match (&self.fresh, &self.watched) {
            (Some(fd), _) => fd.as_fd(),
            (None, Some(stream)) => stream.as_fd(),
            (None, None) => unreachable!("a socket is fresh or watched"),
        }
    }

    /// The address of a peer that has one.
    pub(super) fn peer(&self) -> Option<Bytes> {
        let address = SocketAddr::try_from(net::getpeername(self.fd()).ok()??).ok()?;
        Some(address.ip().to_string().into())
    }

    /// Receives into `buffer`'s spare capacity, which must not be empty; 0 is the end of the stream.
    pub(super) async fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        debug_assert!(!buffer.spare_capacity_mut().is_empty());
        self.attempt(Interest::READABLE, |fd| {
            net::recv(fd, rustix::buffer::spare_capacity(buffer), RecvFlags::empty()).map(|(read, _)| read)
        })
        .await
    }

    /// Receives up to `room` bytes and lets `take` have them; none are the end of the stream.
    pub(super) fn poll_receive<T>(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        RECEIVED.with_borrow_mut(|buffer| {
            let room = room.min(buffer.len());
            let received = self.poll_attempt(cx, Interest::READABLE, &mut |fd| {
                net::recv(fd, &mut buffer[..room], RecvFlags::empty()).map(|(read, _)| read)
            });
            received.map_ok(|read| take(&buffer[..read]))
        })
    }

    /// Sends some of `parts` with one system call.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_attempt(cx, Interest::WRITABLE, &mut |fd| {
            net::sendmsg(fd, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
        })
    }

    /// Sends all of `head` and `body`, with one system call where the kernel takes it. The peer may take its time, but takes
    /// something every `patience`.
    pub(super) async fn send_all(
        &mut self,
        head: &[u8],
        body: &Pieces,
        patience: Duration,
    ) -> io::Result<()> {
        let mut sent = 0usize;
        loop {
            let mut slices = [IoSlice::new(&[]); SEND_PIECES];
            let mut count = 0;
            let mut before = 0;
            for piece in iter::once(head).chain(body.iter()) {
                let unsent = piece.get(sent.saturating_sub(before)..).unwrap_or_default();
                before += piece.len();
                if !unsent.is_empty() && count < SEND_PIECES {
                    slices[count] = IoSlice::new(unsent);
                    count += 1;
                }
            }
            if count == 0 {
                return Ok(());
            }
            let sending = poll_fn(|cx| self.poll_send(cx, &slices[..count]));
            sent += timeout(patience, sending).await.map_err(|_| io::ErrorKind::TimedOut)??;
        }
    }

    /// Waits until the peer has gone. What it sends meanwhile is nothing that we asked for, and discarded.
    pub(super) async fn closed(&mut self) {
        while let Ok(1..) = poll_fn(|cx| self.poll_receive(cx, SCRATCH, <[u8]>::len)).await {}
    }

    /// Tells the peer that no more will come.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        Ok(net::shutdown(self.fd(), net::Shutdown::Write)?)
    }

    async fn attempt<T>(
        &mut self,
        interest: Interest,
        mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        poll_fn(|cx| self.poll_attempt(cx, interest, &mut call)).await
    }

    /// Calls until the kernel has an answer, waiting for readiness in between.
    fn poll_attempt<T>(
        &mut self,
        cx: &mut Context<'_>,
        interest: Interest,
        call: &mut dyn FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if let Some(fd) = &self.fresh {
            match retry(|| call(fd.as_fd())) {
                Err(Errno::AGAIN) => {}
                done => return Poll::Ready(Ok(done?)),
            }
        }
        let stream = self.watch()?;
        loop {
            if interest.is_readable() {
                ready!(stream.poll_read_ready(cx))?;
            } else {
                ready!(stream.poll_write_ready(cx))?;
            }
            match stream.try_io(interest, || Ok(retry(|| call(stream.as_fd()))?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn watch(&mut self) -> io::Result<&UnixStream> {
        if let Some(fd) = self.fresh.take() {
            self.watched = Some(watch(fd)?);
        }
        Ok(self.watched.as_ref().expect("a socket is fresh or watched"))
    }
}

/// Makes the readiness of any non-blocking descriptor known to the reactor.
pub(super) fn watch(fd: OwnedFd) -> io::Result<UnixStream> {
    UnixStream::from_std(std::os::unix::net::UnixStream::from(fd))
}

fn retry<T>(call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    rustix::io::retry_on_intr(call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt;
    use std::{io::Read, os::unix::net::UnixStream as Stream, thread};

    const PATIENCE: Duration = Duration::from_secs(1);

    /// A socket whose buffer is small, and its peer.
    fn pair() -> (Socket, Stream) {
        let (ours, peer) = Stream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        sockopt::set_socket_send_buffer_size(&ours, 16 << 10).unwrap();
        (Socket::new(ours.into()), peer)
    }

    #[tokio::test]
    async fn a_peer_that_takes_a_little_at_a_time_gets_all_of_it() {
        const BYTES: usize = 1 << 20;
        let (mut socket, mut peer) = pair();
        let slow = thread::spawn(move || {
            let (mut piece, mut taken) = ([0; 16 << 10], 0);
            while taken < BYTES {
                // Longer in all than the patience is, and much shorter each.
                thread::park_timeout(PATIENCE / 32);
                taken += peer.read(&mut piece).unwrap();
            }
        });
        socket.send_all(b"", &vec![0; BYTES].into(), PATIENCE).await.unwrap();
        slow.join().unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (mut socket, _peer) = pair();
        let sent = socket.send_all(b"", &vec![0; 1 << 20].into(), PATIENCE / 20).await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
