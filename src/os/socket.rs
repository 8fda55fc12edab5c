//! Listening sockets: addresses as users write them, and binding them.
//!
//! A Unix socket left behind by a dead server is replaced; one that somebody answers on is never taken.

use rustix::{
    fs::{self, AtFlags, FlockOperation, Mode, OFlags},
    io::Errno,
    net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt},
};
use std::{
    fmt, io,
    net::{SocketAddr, TcpStream},
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::{SocketAddr as UnixAddress, UnixStream},
        },
    },
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// Where to listen or to call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `unix:/run/predictd.sock`
    Unix(PathBuf),
    /// `unix:@name`: of no file, gone with its last holder.
    Abstract(String),
    /// `127.0.0.1:8090`, `[::1]:8090`
    Tcp(SocketAddr),
    /// `fd:NAME`: handed over by systemd under that name.
    Inherited(String),
}

/// Why a text is no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an address: write unix:/path, unix:@name, 127.0.0.1:8090, [::1]:8090 or fd:NAME")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.strip_prefix('@') {
                Some("") => Err(error()),
                Some(name) => Ok(Self::Abstract(name.to_owned())),
                None if path.starts_with('/') => Ok(Self::Unix(path.into())),
                None => Err(error()),
            };
        }
        match text.strip_prefix("fd:") {
            Some("") => Err(error()),
            Some(name) => Ok(Self::Inherited(name.to_owned())),
            None => text.parse().map(Self::Tcp).map_err(|_| error()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
            Self::Tcp(address) => address.fmt(f),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

/// How Unix sockets are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Permission bits of the socket's file.
    pub mode: u32,
    /// Connections that may wait to be accepted; the kernel takes `net.core.somaxconn` if that is less.
    pub backlog: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: 0o660, backlog: 4096 }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers there.
    #[error("{0}: another server answers there; stop it first, or listen elsewhere")]
    InUse(Address),
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
    /// The kernel's own words.
    #[error("{0}: {1}")]
    Os(Address, io::Error),
    /// Socket activation is asked for, and nothing was handed over.
    #[error("{0}: no socket of that name was handed over by systemd")]
    NotInherited(Address),
}

impl BindError {
    fn from_errno(address: &Address, errno: Errno) -> Self {
        let address = address.clone();
        match errno {
            Errno::ADDRINUSE => Self::InUse(address),
            Errno::NOENT | Errno::NOTDIR => Self::NoFolder(address),
            Errno::NAMETOOLONG => Self::TooLong(address),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::Permission(address),
            other => Self::Os(address, other.into()),
        }
    }
}

/// A bound, listening, non-blocking socket; its file is removed on drop if it is still ours.
#[derive(Debug)]
pub struct Bound {
    /// The socket.
    pub fd: OwnedFd,
    /// Where it listens; for TCP with the port that the kernel chose.
    pub address: Address,
    file: Option<SocketFile>,
}

impl Bound {
    /// Takes the socket out; the file is removed when the second part is dropped.
    #[must_use]
    pub fn split(self) -> (OwnedFd, Address, Option<SocketFile>) {
        (self.fd, self.address, self.file)
    }
}

/// Listens on `address`.
///
/// # Errors
/// Why that is not possible.
pub fn bind(address: &Address, options: &Options) -> Result<Bound, BindError> {
    let fail = |errno| BindError::from_errno(address, errno);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    match address {
        Address::Tcp(to) => {
            let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let fd = net::socket_with(family, SocketType::STREAM, flags, None).map_err(fail)?;
            sockopt::set_socket_reuseaddr(&fd, true).map_err(fail)?;
            net::bind(&fd, to).map_err(fail)?;
            net::listen(&fd, options.backlog).map_err(fail)?;
            let bound = net::getsockname(&fd).ok().and_then(|name| SocketAddr::try_from(name).ok());
            Ok(Bound { fd, address: Address::Tcp(bound.unwrap_or(*to)), file: None })
        }
        Address::Abstract(name) => {
            let fd = unix_stream().map_err(fail)?;
            let to = SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(fail)?;
            net::bind(&fd, &to).map_err(fail)?;
            net::listen(&fd, options.backlog).map_err(fail)?;
            Ok(Bound { fd, address: address.clone(), file: None })
        }
        Address::Unix(path) => bind_file(address, path, options),
        Address::Inherited(_) => Err(BindError::NotInherited(address.clone())),
    }
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

/// Binds a Unix socket, one process at a time, without a moment in which others could connect before its mode is set.
fn bind_file(address: &Address, path: &Path, options: &Options) -> Result<Bound, BindError> {
    let fail = |errno| BindError::from_errno(address, errno);
    let to = SocketAddrUnix::new(path).map_err(fail)?;
    let _lock = Lock::take(with_suffix(path, ".lock")).map_err(fail)?;
    replace_stale(address, path, &to)?;
    let fd = unix_stream().map_err(fail)?;
    // The file gets the mode of the socket that is bound to it: none, until it has the right one.
    fs::fchmod(&fd, Mode::empty()).map_err(fail)?;
    net::bind(&fd, &to).map_err(fail)?;
    let file = SocketFile::of(path).map_err(|error| BindError::Os(address.clone(), error))?;
    net::listen(&fd, options.backlog).map_err(fail)?;
    fs::chmodat(fs::CWD, path, Mode::from_raw_mode(options.mode), AtFlags::empty()).map_err(fail)?;
    Ok(Bound { fd, address: address.clone(), file: Some(file) })
}

fn unix_stream() -> rustix::io::Result<OwnedFd> {
    net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
}

/// A file that says who is binding; gone when done.
struct Lock {
    path: PathBuf,
    _file: OwnedFd,
}

impl Lock {
    fn take(path: PathBuf) -> rustix::io::Result<Self> {
        loop {
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
            fs::flock(&file, FlockOperation::LockExclusive)?;
            // The one before us removed the file when it was done, so that we may hold a lock on nothing.
            let held = fs::fstat(&file)?;
            if fs::stat(&path).is_ok_and(|there| (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes the socket that a dead server left, and nothing else.
fn replace_stale(address: &Address, path: &Path, to: &SocketAddrUnix) -> Result<(), BindError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::Os(address.clone(), error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(address.clone()));
        }
        Ok(_) => {}
    }
    let fail = |errno| BindError::from_errno(address, errno);
    let probe = unix_stream().map_err(fail)?;
    match net::connect(&probe, to) {
        Err(Errno::CONNREFUSED) => {
            tracing::info!(socket = %address, "replacing the socket that a dead server left");
            std::fs::remove_file(path).map_err(|error| BindError::Os(address.clone(), error))
        }
        // A full backlog answers EAGAIN: somebody holds it.
        Ok(()) | Err(Errno::AGAIN) => Err(BindError::InUse(address.clone())),
        Err(other) => Err(fail(other)),
    }
}

/// The file of a Unix socket that we made; removed on drop unless somebody else has put another in its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Ok(metadata) = std::fs::symlink_metadata(&self.path)
            && (metadata.dev(), metadata.ino()) == (self.device, self.inode)
        {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};

    const OPTIONS: Options = Options { mode: 0o660, backlog: 16 };

    #[test]
    fn addresses_are_read_as_written() {
        for text in ["unix:/run/x.sock", "unix:@x", "127.0.0.1:80", "[::1]:80", "fd:web"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in
            ["", "unix:", "unix:@", "unix:x.sock", "fd:", "localhost:80", ":80", "127.0.0.1", "/run/x"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    fn folder() -> (tempfile::TempDir, PathBuf, Address) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let address = Address::Unix(path.clone());
        (folder, path, address)
    }

    #[test]
    fn a_socket_has_its_mode_and_goes_with_its_server() {
        let (folder, path, address) = folder();
        let bound = bind(&address, &OPTIONS).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(bound);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let (_folder, path, address) = folder();
        drop(UnixListener::bind(&path).unwrap());
        let bound = bind(&address, &OPTIONS).unwrap();
        assert!(matches!(bind(&address, &OPTIONS), Err(BindError::InUse(_))));
        UnixStream::connect(&path).unwrap();
        drop(bound);
    }

    #[test]
    fn a_full_backlog_is_a_live_server() {
        let (_folder, path, address) = folder();
        let bound = bind(&address, &Options { backlog: 0, ..OPTIONS }).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        assert!(matches!(bind(&address, &OPTIONS), Err(BindError::InUse(_))));
        drop(bound);
    }

    #[test]
    fn a_file_or_a_missing_folder_is_said_to_be_so() {
        let (folder, path, address) = folder();
        fs::write(&path, "x").unwrap();
        assert!(matches!(bind(&address, &OPTIONS), Err(BindError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"x");
        let missing = Address::Unix(folder.path().join("no/s"));
        assert!(matches!(bind(&missing, &OPTIONS), Err(BindError::NoFolder(_))));
        let long = Address::Unix(folder.path().join("x".repeat(120)));
        assert!(matches!(bind(&long, &OPTIONS), Err(BindError::TooLong(_))));
    }

    #[test]
    fn anothers_socket_is_not_removed() {
        let (_folder, path, address) = folder();
        let bound = bind(&address, &OPTIONS).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(bound);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_tcp_port_of_zero_is_chosen_by_the_kernel() {
        let bound = bind(&"127.0.0.1:0".parse().unwrap(), &OPTIONS).unwrap();
        let Address::Tcp(address) = &bound.address else { panic!() };
        assert_ne!(address.port(), 0);
        assert!(matches!(bind(&bound.address, &OPTIONS), Err(BindError::InUse(_))));
    }
}
