//! Who listens, and how many connections wait there: what the kernel tells by netlink, sock_diag(7).
//!
//! A Unix socket's queue is to be seen nowhere else; neither needs rights.

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};
use std::{
    ffi::OsStr,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    time::Duration,
};

/// A socket that takes connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub at: At,
    /// Its number, as in `/proc/PID/fd`.
    pub inode: u64,
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// How many may.
    pub backlog: u32,
}

/// A socket that listens, to be asked after by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inode {
    /// Of a Unix socket.
    Unix(u64),
    /// Of another.
    Tcp(u64),
}

/// How long the queue of a socket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// How many may.
    pub backlog: u32,
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The path that it was bound to.
    Unix(PathBuf),
    /// `@name`
    Abstract(String),
    /// An address of this machine.
    Tcp(SocketAddr),
}

const DUMP_BY_FAMILY: u16 = 20;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const LISTEN: u8 = 10;
const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

/// All listening Unix sockets of this network namespace.
///
/// # Errors
/// Where the kernel does not tell.
pub fn unix() -> io::Result<Vec<Listening>> {
    dump(&unix_request(0), unix_entry)
}

/// All listening TCP sockets of this network namespace.
///
/// # Errors
/// Where the kernel does not tell.
pub fn tcp() -> io::Result<Vec<Listening>> {
    let mut all = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let mut request = vec![family, IPPROTO_TCP, 0, 0];
        request.extend((1u32 << LISTEN).to_ne_bytes());
        request.extend([0; 48]);
        all.extend(dump(&request, tcp_entry)?);
    }
    Ok(all)
}

/// How long the queue of each of these is, where the kernel tells. It is asked after the Unix sockets one by one, since listing
/// them would go through all that there are, connections too; of TCP it has a table of those that listen. Blocks, for tens of
/// microseconds.
#[must_use]
pub fn depths(sockets: &[Inode]) -> Vec<Option<Depth>> {
    let is_tcp = |socket: &Inode| matches!(socket, Inode::Tcp(_));
    let listed = if sockets.iter().any(is_tcp) { tcp().unwrap_or_default() } else { Vec::new() };
    let depth = |socket: &Inode| {
        let found = match socket {
            Inode::Unix(inode) => unix_by(*inode).ok()??,
            Inode::Tcp(inode) => listed.iter().find(|listening| listening.inode == *inode)?.clone(),
        };
        Some(Depth { waiting: found.waiting, backlog: found.backlog })
    };
    sockets.iter().map(depth).collect()
}

/// The Unix socket of that number.
fn unix_by(inode: u64) -> io::Result<Option<Listening>> {
    let inode = u32::try_from(inode).map_err(io::Error::other)?;
    ask(&unix_request(inode), REQUEST, unix_entry).map(|found| found.into_iter().next())
}

/// For all that listen, or the one of that number.
fn unix_request(inode: u32) -> Vec<u8> {
    let mut request = vec![AF_UNIX, 0, 0, 0];
    request.extend((1u32 << LISTEN).to_ne_bytes());
    request.extend(inode.to_ne_bytes());
    // Name and length of the queue.
    request.extend((1u32 | 16).to_ne_bytes());
    request.extend([0xff; 8]);
    request
}

fn dump(request: &[u8], entry: fn(&[u8]) -> Option<Listening>) -> io::Result<Vec<Listening>> {
    ask(request, REQUEST | DUMP, entry)
}

/// Asks, and reads what comes until the end; without `DUMP` that is one message.
fn ask(request: &[u8], flags: u16, entry: fn(&[u8]) -> Option<Listening>) -> io::Result<Vec<Listening>> {
    let (closed, protocol) = (SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG));
    let socket = net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, closed, protocol)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(2)))?;
    let mut message = Vec::new();
    let length = u32::try_from(16 + request.len()).map_err(io::Error::other)?;
    message.extend(length.to_ne_bytes());
    message.extend(DUMP_BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(request);
    net::send(&socket, &message, SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (length, _) = net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if length == 0 {
            return Ok(found);
        }
        let mut rest = &buffer[..length];
        while let Some((kind, body, after)) = message_of(rest) {
            match kind {
                DONE => return Ok(found),
                ERROR => return Err(io::Error::other("the kernel refuses to list sockets")),
                _ => found.extend(entry(body)),
            }
            rest = after;
        }
        if flags & DUMP == 0 {
            return Ok(found);
        }
    }
}

/// The first netlink message: its type, its body, and what follows it.
fn message_of(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(16..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// `struct unix_diag_msg` and its attributes.
fn unix_entry(body: &[u8]) -> Option<Listening> {
    let inode = u32_at(body, 4)?.into();
    let mut at = None;
    let (mut waiting, mut backlog) = (0, 0);
    let mut rest = body.get(16..)?;
    while let Some(length) = rest.get(..2).map(|two| usize::from(u16::from_ne_bytes([two[0], two[1]]))) {
        let Some(value) = rest.get(4..length) else { break };
        match (u16::from_ne_bytes([rest[2], rest[3]]), value.split_first()) {
            (0, Some((0, name))) => at = Some(At::Abstract(String::from_utf8_lossy(name).into_owned())),
            (0, Some(_)) => {
                let path = value.split(|byte| *byte == 0).next().unwrap_or_default();
                at = Some(At::Unix(OsStr::from_bytes(path).into()));
            }
            (4, _) => (waiting, backlog) = (u32_at(value, 0)?, u32_at(value, 4)?),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Listening { at: at?, inode, waiting, backlog })
}

/// `struct inet_diag_msg`.
fn tcp_entry(body: &[u8]) -> Option<Listening> {
    let port = u16::from_be_bytes(body.get(4..6)?.try_into().ok()?);
    let ip = match *body.first()? {
        AF_INET => IpAddr::from(<[u8; 4]>::try_from(body.get(8..12)?).ok()?),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(body.get(8..24)?).ok()?)),
    };
    let (waiting, backlog, inode) = (u32_at(body, 56)?, u32_at(body, 60)?, u32_at(body, 68)?.into());
    Some(Listening { at: At::Tcp(SocketAddr::new(ip, port)), inode, waiting, backlog })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{TcpListener, TcpStream},
        os::{
            fd::AsFd,
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream},
        },
    };

    #[test]
    fn a_waiting_connection_is_counted_where_it_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let find = || unix().unwrap().into_iter().find(|socket| socket.at == At::Unix(path.clone())).unwrap();
        assert_eq!(find().waiting, 0);
        let _connections = [UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap()];
        assert_eq!(find().waiting, 2);
        assert!(find().backlog > 0 && find().inode > 0);
    }

    #[test]
    fn a_queue_is_found_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = |fd: &dyn AsFd| rustix::fs::fstat(fd.as_fd()).unwrap().st_ino;
        let sockets = [Inode::Unix(inode(&listener)), Inode::Tcp(inode(&tcp)), Inode::Unix(1), Inode::Tcp(1)];
        let waiting = || depths(&sockets).into_iter().map(|depth| depth.map(|depth| depth.waiting));
        assert!(waiting().eq([Some(0), Some(0), None, None]));
        let _waiting = (
            UnixStream::connect(&path).unwrap(),
            UnixStream::connect(&path).unwrap(),
            TcpStream::connect(tcp.local_addr().unwrap()).unwrap(),
        );
        assert!(waiting().eq([Some(2), Some(1), None, None]));
        assert!(depths(&sockets)[0].unwrap().backlog > 0);
    }

    #[test]
    fn abstract_and_tcp_sockets_are_listed_too() {
        let name = format!("predictd-listening-{}", std::process::id());
        let address = UnixAddress::from_abstract_name(&name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        assert!(unix().unwrap().iter().any(|socket| socket.at == At::Abstract(name.clone())));
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let at = listener.local_addr().unwrap();
            let _waiting = TcpStream::connect(at).unwrap();
            let found = tcp().unwrap().into_iter().find(|socket| socket.at == At::Tcp(at)).unwrap();
            assert_eq!((found.waiting, found.backlog > 0), (1, true));
        }
    }

    #[test]
    fn what_is_cut_off_is_no_entry() {
        for length in 0..80 {
            let bytes = vec![2; length];
            let _ = (message_of(&bytes), unix_entry(&bytes), tcp_entry(&bytes));
        }
    }
}
