//! Accepting connections, as many as may be, until the drain begins.

use super::{
    Drain, Handler, Limits, connection,
    socket::{self, Socket},
};
use crate::os::socket::{Address, Bound, SocketFile};
use rustix::{io::Errno, net::SocketFlags};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Connections accepted in one go before others get a turn.
const BURST: usize = 64;

/// The places for connections, shared by all listeners of a server.
#[derive(Clone, Debug)]
pub struct Connections {
    places: Arc<Semaphore>,
    max: u32,
}

impl Connections {
    /// Places for `max` connections at once.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self { places: Arc::new(Semaphore::new(max as usize)), max }
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.max as usize - self.places.available_permits()
    }

    /// Waits until no connection is open.
    pub async fn closed(&self) {
        let _ = self.places.acquire_many(self.max).await;
    }
}

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
    limits: Limits,
    connections: Connections,
    drain: Drain,
) {
    let limits = Arc::new(limits);
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
            let permit = place(&connections, &listener.address).await;
            match listener.accept() {
                Ok(Some(fd)) => {
                    let served = connection::serve(
                        Socket::new(fd),
                        handler.clone(),
                        Arc::clone(&limits),
                        drain.clone(),
                    );
                    tokio::spawn(async move {
                        served.await;
                        drop(permit);
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

async fn place(connections: &Connections, address: &Address) -> OwnedSemaphorePermit {
    if let Ok(permit) = Arc::clone(&connections.places).try_acquire_owned() {
        return permit;
    }
    let max = connections.max;
    tracing::warn!(listen = %address, "all {max} connections are in use; others wait (limits.connections)");
    Arc::clone(&connections.places).acquire_owned().await.expect("the places are never closed")
}

/// Without descriptors or memory, accepting again at once would only fail again.
async fn refused(address: &Address, error: &io::Error) {
    tracing::error!(listen = %address, "cannot accept a connection: {error}");
    let lacking = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    if lacking.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
