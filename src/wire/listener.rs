//! Accepting connections, as many as may be, until the drain begins.

use super::{
    Connections, Drain, Handler, LiveLimits, connection,
    socket::{self, Socket},
};
use crate::os::socket::{Address, Bound, SocketFile};
use rustix::{io::Errno, net::SocketFlags};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};
use tokio::{io::Interest, net::UnixStream};

/// Connections accepted in one go before others get a turn.
const BURST: usize = 64;

/// A listening socket that the reactor watches.
#[derive(Debug)]
pub struct Listener {
    socket: UnixStream,
    address: Address,
    /// Removed when we have stopped listening.
    _file: Option<SocketFile>,
}

impl Listener {
    /// Takes over a bound socket.
    ///
    /// # Errors
    /// Where the reactor cannot watch it.
    pub fn new(bound: Bound) -> io::Result<Self> {
        let (fd, address, file) = bound.split();
        Ok(Self { socket: socket::watch(fd)?, address, _file: file })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn accept(&self) -> io::Result<Option<OwnedFd>> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accept =
            || Ok(rustix::io::retry_on_intr(|| rustix::net::accept_with(self.socket.as_fd(), flags))?);
        match self.socket.try_io(Interest::READABLE, accept) {
            Ok(fd) => Ok(Some(fd)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Serves connections until the drain begins, then those still waiting to be accepted, and returns.
///
/// Connections go on after that; wait for them by [`Connections::closed`].
pub async fn serve<H: Handler>(
    listener: Listener,
    handler: H,
    limits: LiveLimits,
    connections: Connections,
    drain: Drain,
) {
    let mut draining = false;
    loop {
        if !draining {
            tokio::select! {
                ready = listener.socket.readable() => if let Err(error) = ready {
                    tracing::error!(listen = %listener.address, "cannot wait for connections: {error}");
                    return;
                },
                () = drain.begun() => draining = true,
            }
        }
        for _ in 0..BURST {
            let place = connections.place(&listener.address).await;
            match listener.accept() {
                Ok(Some(fd)) => {
                    let served =
                        connection::serve(Socket::new(fd), handler.clone(), limits.clone(), drain.clone());
                    tokio::spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Ok(None) if draining => return,
                Ok(None) => break,
                Err(error) => {
                    refused(&listener.address, &error).await;
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Without descriptors or memory, accepting again at once would only fail again.
async fn refused(address: &Address, error: &io::Error) {
    tracing::error!(listen = %address, "cannot accept a connection: {error}");
    let lacking = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    if lacking.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
