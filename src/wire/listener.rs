//! Accepting connections, as many as may be, until the drain begins.

use super::{
    AllowedUsers, Connections, Drain, Handler, LiveLimits, connection,
    exchange::Exchange,
    socket::{self, Socket},
};
use crate::{
    os::{
        listening::Inode,
        socket::{Address, Bound, Claim},
    },
    telemetry::traffic::Traffic,
};
use rustix::{
    io::Errno,
    net::{Shutdown, SocketFlags},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};
use tokio::{io::Interest, net::UnixStream};

/// Connections accepted in one go before others get a turn.
const BURST: usize = 64;

/// Bursts of what waits when a drain begins. On a socket that others listen on too, new connections may come for ever.
const LAST_BURSTS: usize = 256;

/// A listening socket that the reactor watches.
#[derive(Debug)]
pub struct Listener {
    socket: UnixStream,
    address: Address,
    allowed: AllowedUsers,
    /// The socket's file goes when we have stopped listening.
    claim: Claim,
}

impl Listener {
    /// Takes over a bound socket.
    ///
    /// # Errors
    /// Where the reactor cannot watch it.
    pub fn new(bound: Bound) -> io::Result<Self> {
        let Bound { fd, address, claim, .. } = bound;
        Ok(Self { socket: socket::watch(fd)?, address, allowed: AllowedUsers::default(), claim })
    }

    /// Lets only `users` in, if it is a Unix socket.
    #[must_use]
    pub fn allowing(mut self, users: &AllowedUsers) -> Self {
        if self.is_unix() {
            self.allowed = users.clone();
        }
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its number, by which the kernel tells how many wait.
    #[must_use]
    pub fn inode(&self) -> Option<Inode> {
        let number = rustix::fs::fstat(&self.socket).ok()?.st_ino;
        Some(if self.is_unix() { Inode::Unix(number) } else { Inode::Tcp(number) })
    }

    /// Whether it is a Unix socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self.address, Address::Unix(_) | Address::Abstract(_))
    }

    /// What has connected until now can still be accepted, nobody else can connect: so that between the last look and the end
    /// nobody is lost. TCP has nothing of the kind, and a socket that others listen on too is theirs as well.
    fn close_the_door(&self) {
        if self.claim.is_ours() && self.is_unix() {
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Read);
        }
    }

    /// Who waits next, as far as the reactor knows; where nobody does, it learns that, too.
    fn accept(&self) -> io::Result<Option<OwnedFd>> {
        next(self.socket.try_io(Interest::READABLE, || self.ask_kernel()))
    }

    /// Who waits next, whether or not the reactor has heard of it.
    fn accept_last(&self) -> io::Result<Option<OwnedFd>> {
        next(self.ask_kernel())
    }

    fn ask_kernel(&self) -> io::Result<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        Ok(rustix::io::retry_on_intr(|| rustix::net::accept_with(self.socket.as_fd(), flags))?)
    }
}

fn next(accepted: io::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    match accepted {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Serves connections until the drain begins, then those still waiting to be accepted, and returns.
///
/// Connections go on after that; wait for them by [`Connections::closed`]. Their requests are counted in `traffic`.
pub async fn serve<H: Handler>(
    listener: Listener,
    handler: H,
    traffic: Traffic,
    limits: LiveLimits,
    connections: Connections,
    drain: Drain,
) {
    let exchange = Exchange { handler, traffic };
    let until = drain.clone();
    let serve = move |fd| connection::serve(Socket::new(fd), exchange.clone(), limits.clone(), drain.clone());
    accept(&listener, &connections, &until, serve).await;
}

/// Accepts connections until the drain begins, then those still waiting, each for a task of its own that does what `serve` says.
pub(super) async fn accept<S>(
    listener: &Listener,
    connections: &Connections,
    drain: &Drain,
    serve: impl Fn(OwnedFd) -> S,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut bursts = None;
    loop {
        if bursts.is_none() {
            tokio::select! {
                ready = listener.socket.readable() => if let Err(error) = ready {
                    tracing::error!(listen = %listener.address, "cannot wait for connections: {error}");
                    return;
                },
                () = drain.begun() => {
                    listener.close_the_door();
                    bursts = Some(0..LAST_BURSTS);
                }
            }
        }
        if let Some(last) = &mut bursts
            && last.next().is_none()
        {
            return;
        }
        for _ in 0..BURST {
            let place = connections.place().await;
            let accepted = if bursts.is_some() { listener.accept_last() } else { listener.accept() };
            match accepted {
                Ok(Some(fd)) => {
                    connections.accepted();
                    if !listener.allowed.admit(&fd) {
                        connections.refused();
                        continue;
                    }
                    let served = serve(fd);
                    tokio::spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Ok(None) if bursts.is_some() => return,
                Ok(None) => break,
                Err(error) => {
                    connections.failed(&error);
                    rest(&error).await;
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Without descriptors or memory, accepting again at once would only fail again.
async fn rest(error: &io::Error) {
    let lacking = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    if lacking.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::socket::{self, Options};
    use std::os::unix::net::UnixStream as Client;

    fn listener(folder: &tempfile::TempDir) -> (std::path::PathBuf, Listener) {
        let path = folder.path().join("s");
        let bound = socket::bind(&Address::Unix(path.clone()), &Options::default()).unwrap();
        (path, Listener::new(bound).unwrap())
    }

    #[tokio::test]
    async fn a_closed_door_keeps_who_is_inside_and_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let (path, listener) = listener(&folder);
        let _before = Client::connect(&path).unwrap();
        listener.close_the_door();
        assert_eq!(Client::connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        // The reactor, which nobody has let look since, has not heard of it.
        assert!(listener.accept().unwrap().is_none());
        assert!(listener.accept_last().unwrap().is_some());
        assert!(listener.accept_last().unwrap().is_none());
    }

    #[tokio::test]
    async fn a_door_that_is_others_too_stays_open() {
        let folder = tempfile::tempdir().unwrap();
        let (path, listener) = listener(&folder);
        listener.claim.give_up();
        listener.close_the_door();
        Client::connect(&path).unwrap();
    }
}
