//! Sockets: addresses as users write them, listening on them, calling them.
//!
//! A Unix socket left behind by a dead server is replaced; one that somebody answers on is never taken.

mod address;
mod file;
mod inherited;

pub use address::{Address, AddressError};
pub use file::SocketFile;
pub use inherited::{Handed, Inherited, remove};

use super::{account::Account, users::UnknownAccount};
use file::{Lock, Rights};
use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt},
};
use std::{
    io,
    net::{SocketAddr, TcpStream},
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddress, UnixStream},
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How Unix sockets are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Permission bits of the socket's file.
    pub mode: u32,
    /// Whom the file is given to; else it is ours.
    pub owner: Option<Account>,
    /// Its group, if not ours.
    pub group: Option<Account>,
    /// Connections that may wait to be accepted; the kernel takes `net.core.somaxconn` if that is less.
    pub backlog: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: 0o660, owner: None, group: None, backlog: 4096 }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers there.
    #[error("{0}: another server answers there; stop it first, or listen elsewhere")]
    InUse(Address),
    /// Another process is about to.
    #[error("{0}: another server is starting there; wait for it, or listen elsewhere")]
    Starting(Address),
    /// There is a file of that name that is no socket.
    #[error("{0}: there is a file of that name which is no socket; remove it, or listen elsewhere")]
    NotASocket(Address),
    /// The folder does not exist.
    #[error("{0}: the folder does not exist; make it, or listen elsewhere")]
    NoFolder(Address),
    /// The path is longer than the kernel's 107 bytes.
    #[error("{0}: a Unix socket's path has at most 107 bytes")]
    TooLong(Address),
    /// We may not.
    #[error("{0}: permission denied to make a socket there")]
    Permission(Address),
    /// Nobody may.
    #[error("{0}: a socket cannot be made on a file system that is read-only")]
    ReadOnly(Address),
    /// `socket.owner` or `socket.group` says somebody who does not exist.
    #[error("{0}: {1}: {2}")]
    Account(Address, &'static str, UnknownAccount),
    /// We may make the socket and not give it away.
    #[error(
        "{0}: {1}: only root may give a file to another user or a group that it is not in itself: start as root, or set {1} to what the server runs as"
    )]
    Rights(Address, &'static str),
    /// Socket activation is asked for, and nothing of that name was handed over.
    #[error("{0}: no socket of that name was handed over by systemd; {1}")]
    NotInherited(Address, String),
    /// What was handed over is of no use.
    #[error(
        "{0}: what was handed over is not a listening stream socket: in the .socket unit, use ListenStream= and Accept=no"
    )]
    NotListening(Address),
    /// The kernel's own words.
    #[error("{0}: {1}")]
    Os(Address, io::Error),
}

impl BindError {
    fn from_errno(address: &Address, errno: Errno) -> Self {
        let address = address.clone();
        match errno {
            Errno::ADDRINUSE => Self::InUse(address),
            Errno::NOENT | Errno::NOTDIR => Self::NoFolder(address),
            Errno::NAMETOOLONG => Self::TooLong(address),
            Errno::ACCESS | Errno::PERM => Self::Permission(address),
            Errno::ROFS => Self::ReadOnly(address),
            other => Self::Os(address, other.into()),
        }
    }
}

/// A listening, non-blocking socket.
#[derive(Debug)]
pub struct Bound {
    /// The socket.
    pub fd: OwnedFd,
    /// Where it was asked for.
    pub requested: Address,
    /// Where it listens: for TCP with the port that the kernel chose, for one that was handed over with its own address.
    pub address: Address,
    /// What of it is ours.
    pub claim: Claim,
}

/// Whether a socket is ours alone, so that with us it ends; cheap to clone. Its file, if it has one, is removed when the last
/// clone is dropped.
#[derive(Clone, Debug)]
pub struct Claim(Arc<Claimed>);

#[derive(Debug)]
struct Claimed {
    file: Option<SocketFile>,
    ours: AtomicBool,
}

impl Claim {
    fn new(file: Option<SocketFile>, ours: bool) -> Self {
        Self(Arc::new(Claimed { file, ours: ours.into() }))
    }

    /// Whether nobody else listens on the socket.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.0.ours.load(Ordering::Relaxed)
    }

    /// Leaves the socket to another process.
    pub fn give_up(&self) {
        self.0.ours.store(false, Ordering::Relaxed);
    }

    /// Takes over what another process has given up.
    pub fn take_over(&self) {
        self.0.ours.store(true, Ordering::Relaxed);
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> Option<&SocketFile> {
        self.0.file.as_ref()
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if let Some(file) = self.file.as_ref().filter(|_| self.ours.load(Ordering::Relaxed)) {
            file.remove();
        }
    }
}

/// A socket that has its address and does not listen yet: nobody can connect, and nobody else can have the address.
#[derive(Debug)]
pub struct Reserved {
    /// Given up first: to remove the socket's file takes it again.
    lock: Option<Lock>,
    bound: Bound,
    /// Of its file, where that has those of another process' configuration.
    rights: Option<Rights>,
    /// `None` where that is not for us to say.
    backlog: Option<i32>,
}

impl Reserved {
    /// Where it is bound.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.bound.address
    }

    /// Lets connections come.
    ///
    /// # Errors
    /// Where another socket was first: TCP allows two to be bound, one of which listens.
    pub fn listen(self) -> Result<Bound, BindError> {
        // Dropped from the last to the first.
        let Self { mut bound, rights, backlog, lock } = self;
        if let (Some(file), Some(rights)) = (bound.claim.file(), rights) {
            file.set_rights(rights, &bound.requested)?;
        }
        if let Some(backlog) = backlog {
            net::listen(&bound.fd, backlog)
                .map_err(|errno| BindError::from_errno(&bound.requested, errno))?;
        }
        drop(lock);
        if matches!(bound.address, Address::Tcp(_))
            && let Some(address) = local_address(&bound.fd)
        {
            bound.address = address;
        }
        Ok(bound)
    }
}

/// Takes `address`, and does not listen on it yet.
///
/// # Errors
/// Why that is not possible.
pub fn reserve(address: &Address, options: &Options) -> Result<Reserved, BindError> {
    let fail = |errno| BindError::from_errno(address, errno);
    let (fd, file, lock) = match address {
        Address::Tcp(to) => {
            let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let fd = stream_socket(family).map_err(fail)?;
            sockopt::set_socket_reuseaddr(&fd, true).map_err(fail)?;
            net::bind(&fd, to).map_err(fail)?;
            (fd, None, None)
        }
        Address::Abstract(name) => {
            let fd = stream_socket(AddressFamily::UNIX).map_err(fail)?;
            let to = SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(fail)?;
            net::bind(&fd, &to).map_err(fail)?;
            (fd, None, None)
        }
        Address::Unix(path) => {
            let (fd, file, lock) = file::bind(address, path, options)?;
            (fd, Some(file), Some(lock))
        }
        Address::Inherited(_) => {
            return Err(BindError::NotInherited(address.clone(), Inherited::default().names()));
        }
    };
    let claim = Claim::new(file, true);
    let bound = Bound { fd, requested: address.clone(), address: address.clone(), claim };
    Ok(Reserved { bound, rights: None, backlog: Some(options.backlog), lock })
}

/// Listens on `address`.
///
/// # Errors
/// Why that is not possible.
pub fn bind(address: &Address, options: &Options) -> Result<Bound, BindError> {
    reserve(address, options)?.listen()
}

/// Where a socket is bound, if that is an address that can be written.
fn local_address(fd: &OwnedFd) -> Option<Address> {
    let name = net::getsockname(fd).ok()?;
    if let Ok(tcp) = SocketAddr::try_from(name.clone()) {
        return Some(Address::Tcp(tcp));
    }
    let unix = SocketAddrUnix::try_from(name).ok()?;
    if let Some(path) = unix.path() {
        return Some(Address::Unix(path.to_str().ok()?.into()));
    }
    Some(Address::Abstract(std::str::from_utf8(unix.abstract_name()?).ok()?.to_owned()))
}

fn stream_socket(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// A connection to call a server by.
pub trait Stream: io::Read + io::Write {}

impl<T: io::Read + io::Write> Stream for T {}

/// Connects, and gives every later read and write `timeout`.
///
/// # Errors
/// As the kernel has it; an inherited socket cannot be called.
pub fn connect(address: &Address, timeout: Duration) -> io::Result<Box<dyn Stream>> {
    let unix = |to: &UnixAddress| -> io::Result<Box<dyn Stream>> {
        let stream = UnixStream::connect_addr(to)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Box::new(stream))
    };
    match address {
        Address::Unix(path) => unix(&UnixAddress::from_pathname(path)?),
        Address::Abstract(name) => unix(&UnixAddress::from_abstract_name(name)?),
        Address::Tcp(to) => {
            let stream = TcpStream::connect_timeout(to, timeout)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            Ok(Box::new(stream))
        }
        Address::Inherited(_) => Err(io::Error::other("only a server inherits sockets")),
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
