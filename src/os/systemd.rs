//! What systemd tells a service, and what a service tells systemd: sockets handed over (sd_listen_fds(3)), states and the
//! watchdog (sd_notify(3)). Without systemd there is none of it, and nothing is missed.

use super::{
    process,
    socket::{Address, Handed},
};
use std::{
    env,
    ffi::OsStr,
    fmt::Write,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// Where the descriptors begin.
const FIRST: i32 = 3;

/// As many as can be told apart in a unit, and then some.
const MOST: usize = 1024;

/// The sockets of a `.socket` unit, as `fd:NAME`.
///
/// To be called first thing in `main`.
#[must_use]
pub fn inherited() -> Vec<Handed> {
    let [pid, count, names] = process::take_variables(["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]);
    let names = names_of(pid.as_deref(), count.as_deref(), names.as_deref(), std::process::id());
    let descriptors =
        if names.is_empty() { Vec::new() } else { process::take_descriptors(FIRST, names.len()) };
    names
        .into_iter()
        .zip(descriptors)
        .filter_map(|(name, fd)| Some(Handed { address: Address::Inherited(name), fd: fd?, file: None }))
        .collect()
}

/// A name for each descriptor, if they are meant for us.
fn names_of(pid: Option<&str>, count: Option<&str>, names: Option<&str>, own: u32) -> Vec<String> {
    if pid.and_then(|pid| pid.parse().ok()) != Some(own) {
        return Vec::new();
    }
    let count = count.and_then(|count| count.parse::<usize>().ok()).unwrap_or(0).min(MOST);
    let mut given = names.unwrap_or_default().split(':');
    let name = |_| given.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
    (0..count).map(name).collect()
}

/// The line to the service manager.
#[derive(Debug, Default)]
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

/// What can be said on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `Type=notify`: started, or reloaded.
    Ready,
    /// The configuration is being read again.
    Reloading,
    /// The end has begun.
    Stopping,
    /// A line for `systemctl status`.
    Status(&'a str),
    /// Another process is the service now.
    MainPid(u32),
    /// Still alive.
    Watchdog,
    /// What is being waited for takes so much longer.
    ExtendTimeout(Duration),
}

impl Notifier {
    /// By the variables of the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let to = match connect(&name) {
            Ok(to) => Some(to),
            Err(error) => {
                tracing::warn!("NOTIFY_SOCKET={} is of no use: {error}", name.display());
                None
            }
        };
        let variable = |name| env::var(name).ok();
        let watchdog = watchdog_of(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        Self { to, watchdog }
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.to.is_some()
    }

    /// How often the watchdog is to be fed: twice as often as it must be.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.is_connected()).map(|longest| longest / 2)
    }

    /// Says all of `messages` at once. A service manager that does not listen is no reason to stop serving.
    pub fn say(&self, messages: &[Message<'_>]) {
        let Some((socket, to)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(text_of(messages, monotonic()).as_bytes(), to) {
            tracing::debug!("NOTIFY_SOCKET does not take {messages:?}: {error}");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("it is neither a path nor an abstract Unix socket")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}

fn watchdog_of(microseconds: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let microseconds: u64 = microseconds?.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds))
}

fn text_of(messages: &[Message<'_>], now: Duration) -> String {
    let mut text = String::new();
    for message in messages {
        let _ = match message {
            Message::Ready => writeln!(text, "READY=1"),
            // Type=notify-reload wants to know when.
            Message::Reloading => writeln!(text, "RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()),
            Message::Stopping => writeln!(text, "STOPPING=1"),
            Message::Status(status) => writeln!(text, "STATUS={}", status.replace(char::is_control, " ")),
            Message::MainPid(pid) => writeln!(text, "MAINPID={pid}"),
            Message::Watchdog => writeln!(text, "WATCHDOG=1"),
            Message::ExtendTimeout(time) => writeln!(text, "EXTEND_TIMEOUT_USEC={}", time.as_micros()),
        };
    }
    text
}

fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_taken_only_by_whom_they_are_for() {
        let names = |pid, count, names| names_of(pid, count, names, 7);
        assert_eq!(names(Some("7"), Some("2"), Some("web:admin")), ["web", "admin"]);
        assert_eq!(names(Some("7"), Some("3"), Some("web:")), ["web", "unknown", "unknown"]);
        assert_eq!(names(Some("7"), Some("1"), None), ["unknown"]);
        assert_eq!(names(Some("8"), Some("2"), Some("web:admin")), [""; 0]);
        assert_eq!(names(None, Some("2"), Some("web:admin")), [""; 0]);
        assert_eq!(names(Some("7"), Some("-1"), None), [""; 0]);
        assert_eq!(names(Some("7"), Some("99999999"), None).len(), MOST);
    }

    #[test]
    fn the_watchdog_is_fed_only_by_whom_it_watches() {
        assert_eq!(watchdog_of(Some("30000000"), Some("7"), 7), Some(Duration::from_secs(30)));
        assert_eq!(watchdog_of(Some("30000000"), None, 7), Some(Duration::from_secs(30)));
        assert_eq!(watchdog_of(Some("30000000"), Some("8"), 7), None);
        assert_eq!(watchdog_of(Some("0"), None, 7), None);
        assert_eq!(watchdog_of(None, None, 7), None);
    }

    #[test]
    fn messages_are_lines() {
        let now = Duration::from_micros(42);
        let said = text_of(&[Message::Ready, Message::Status("serving\n2 models"), Message::MainPid(7)], now);
        assert_eq!(said, "READY=1\nSTATUS=serving 2 models\nMAINPID=7\n");
        assert_eq!(text_of(&[Message::Reloading], now), "RELOADING=1\nMONOTONIC_USEC=42\n");
        let longer = text_of(&[Message::Stopping, Message::ExtendTimeout(Duration::from_secs(40))], now);
        assert_eq!(longer, "STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000\n");
        assert!(monotonic() > Duration::ZERO);
    }
}
