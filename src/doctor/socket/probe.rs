//! A connection that is tried, as nginx would, and a question whether it is predictd that answers.

use crate::os::socket::Address;
use predictd_protocol::gateway::{
    detect::{Wire, Wires},
    uwsgi,
};
use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

/// How long a server may take to answer that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What becomes of a connection that is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// predictd is there.
    Predictd,
    /// Somebody takes connections, and does not answer as predictd.
    Other,
    /// Somebody takes connections, and closes them without an answer.
    Closed,
    /// predictd does, since `socket.allow_users` does not name us.
    TurnedAway,
    /// Connections are taken, and nothing comes.
    Silent,
    /// Nobody listens.
    Refused,
    /// There is nothing of that name.
    Absent,
    /// We may not.
    Denied,
    /// The queue of connections is full.
    Full,
    /// Something else, in the kernel's words.
    Error(String),
}

/// Connects and asks whether predictd is there.
#[must_use]
pub fn probe(address: &Address, wires: Wires) -> Answer {
    let answer = match address {
        Address::Unix(path) => SocketAddrUnix::new(path.as_path()).and_then(|to| knock(&to)),
        Address::Abstract(name) => {
            SocketAddrUnix::new_abstract_name(name.as_bytes()).and_then(|to| knock(&to))
        }
        Address::Tcp(to) => {
            return match TcpStream::connect_timeout(to, PATIENCE) {
                Ok(stream) => {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    greet(stream, wires)
                }
                Err(error) => refusal(&error),
            };
        }
        Address::Inherited(_) => return Answer::Error("only a server inherits sockets".into()),
    };
    match answer {
        Ok(stream) => {
            let stream = UnixStream::from(stream);
            let timed = stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
            timed.map_or_else(|error| refusal(&error), |()| greet(stream, wires))
        }
        Err(errno) => refusal(&errno.into()),
    }
}

/// Connects without waiting, as nginx does: a blocking connect would wait for room in the queue.
fn knock(to: &SocketAddrUnix) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    net::connect(&socket, to)?;
    Ok(socket)
}

fn refusal(error: &io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Answer::Refused,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Answer::Absent,
        io::ErrorKind::PermissionDenied => Answer::Denied,
        io::ErrorKind::WouldBlock => Answer::Full,
        io::ErrorKind::TimedOut => Answer::Silent,
        _ => Answer::Error(error.to_string()),
    }
}

/// How an end that nobody has announced looks.
const CLOSED: [io::ErrorKind; 3] =
    [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];

/// A ping of uwsgi where that is spoken, else a question by HTTP. FastCGI alone has nothing to ask with.
fn greet(mut stream: impl Read + Write, wires: Wires) -> Answer {
    let ping = uwsgi::Header { modifier1: uwsgi::MODIFIER_PING, datasize: 0, modifier2: 0 }.encode();
    let (question, expected): (&[u8], &[u8]) = if wires.contains(Wire::Uwsgi) {
        (&ping, &uwsgi::PONG)
    } else if wires.contains(Wire::Http) {
        (b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", b"HTTP/1.1 200 ")
    } else {
        return Answer::Predictd;
    };
    let mut answer = vec![0; expected.len()];
    match stream.write_all(question).and_then(|()| stream.read_exact(&mut answer)) {
        Ok(()) if answer == expected => Answer::Predictd,
        Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()) => {
            Answer::Silent
        }
        Err(error) if CLOSED.contains(&error.kind()) => Answer::Closed,
        _ => Answer::Other,
    }
}
