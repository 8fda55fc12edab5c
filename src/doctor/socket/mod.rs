//! The way from nginx to the server: a socket's folders and bits for nginx's user, who listens, how long the queue is.

mod permission;
mod probe;

pub use permission::permission;
pub use probe::{Answer, probe};

use super::{
    Finding, Subject,
    access::{self, Step},
    asked::Asked,
    identity::{Accounts, Identity, Process, process},
    plural,
};
use crate::os::{
    listening::{self, At, Listening},
    socket::Address,
};
use std::{
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

const SOCKET: Subject = Subject::Socket;

/// The longest path that a Unix socket can have: `sun_path` with its final zero.
pub const PATH_MAX: usize = 107;

/// Where to listen instead: the place that is made for it.
const ELSEWHERE: &str = "unix:/run/predictd/predictd.sock";

/// What is to be seen of an address.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which.
    pub address: Address,
    /// Whether systemd made it.
    pub inherited: bool,
    /// Folders and the file, of a Unix socket with one.
    pub way: Vec<Step>,
    /// What is not there on the way.
    pub missing: Option<PathBuf>,
    /// What we may not look at.
    pub hidden: Option<PathBuf>,
    /// What the kernel says of it.
    pub listening: Option<Listening>,
    /// Who holds it.
    pub holder: Option<Process>,
    /// What a connection meets.
    pub answer: Answer,
}

/// Who comes to the socket.
#[derive(Clone, Debug, Default)]
pub struct Visitors {
    /// nginx's workers as the configuration and the accounts have them.
    pub configured: Option<Identity>,
    /// As they run.
    pub running: Option<Identity>,
}

/// Looks at an address, and tries a connection.
#[must_use]
pub fn look(address: &Address, asked: &Asked, accounts: &Accounts) -> Seen {
    let (way, stopped) = match address {
        Address::Unix(path) => access::way_to(path),
        _ => (Vec::new(), None),
    };
    let (missing, hidden) = match stopped {
        Some((path, error)) if error.kind() == io::ErrorKind::NotFound => (Some(path), None),
        Some((path, _)) => (None, Some(path)),
        None => (None, None),
    };
    let listening = listening_at(address, way.last());
    let holder = listening.as_ref().and_then(|socket| holder(socket.inode, accounts));
    let us = rustix::process::geteuid().as_raw();
    let answer = understood(probe(address, asked.wires), address, us, holder.as_ref(), asked, accounts);
    let inherited = asked.inherited.contains(address);
    Seen { address: address.clone(), inherited, way, missing, hidden, listening, holder, answer }
}

/// A closed connection is what predictd has for a user of this machine whom it does not know.
fn understood(
    answer: Answer,
    address: &Address,
    us: u32,
    holder: Option<&Process>,
    asked: &Asked,
    accounts: &Accounts,
) -> Answer {
    let has_users = matches!(address, Address::Unix(_) | Address::Abstract(_));
    if answer == Answer::Closed && has_users && !permission::admits(us, holder, asked, accounts) {
        return Answer::TurnedAway;
    }
    answer
}

fn listening_at(address: &Address, file: Option<&Step>) -> Option<Listening> {
    let all = match address {
        Address::Tcp(_) => listening::tcp(),
        _ => listening::unix(),
    };
    let fits = |socket: &Listening| match (&socket.at, address) {
        (At::Unix(bound), Address::Unix(path)) => {
            bound == path || file.is_some_and(|file| *bound == file.path)
        }
        (At::Abstract(bound), Address::Abstract(name)) => bound == name,
        (At::Tcp(bound), Address::Tcp(to)) => {
            bound.port() == to.port() && (bound.ip() == to.ip() || bound.ip().is_unspecified())
        }
        _ => false,
    };
    // A socket that was replaced may still be listed under its old name; the last is the one in place.
    all.ok()?.into_iter().filter(fits).max_by_key(|socket| socket.inode)
}

/// The process that has a socket open, as far as we may look.
fn holder(inode: u64, accounts: &Accounts) -> Option<Process> {
    let link = PathBuf::from(format!("socket:[{inode}]"));
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target == link)
    };
    process(answering(pids.filter(has))?, accounts)
}

/// Of the holders of a socket, who answers: systemd keeps what it hands over.
fn answering(holders: impl Iterator<Item = u32>) -> Option<u32> {
    holders.max_by_key(|pid| *pid != 1)
}

/// Everything that is wrong with one address.
#[must_use]
pub fn findings(
    seen: &Seen,
    visitors: &Visitors,
    asked: &Asked,
    somaxconn: Option<u64>,
    accounts: &Accounts,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Address::Abstract(_) = seen.address {
        found.push(
            SOCKET
                .warning("abstract", format!("nginx cannot connect to {}", seen.address))
                .at("listen")
                .why("It takes the name for a file's; only other clients can use such a socket.")
                .fix(format!("listen = [\"{ELSEWHERE}\"]")),
        );
    }
    if let Some(finding) = too_long(&seen.address) {
        return vec![finding];
    }
    found.extend(permission(seen, visitors, accounts));
    found.extend(permission::turned_away(seen, visitors, asked, accounts));
    found.extend(nobody(seen).or_else(|| somebody_else(seen)));
    found.extend(queue(seen));
    found.extend(backlog(seen, asked, somaxconn));
    found
}

fn too_long(address: &Address) -> Option<Finding> {
    let Address::Unix(path) = address else { return None };
    let length = path.as_os_str().as_bytes().len();
    (length > PATH_MAX).then(|| {
        SOCKET
            .error(
                "path-too-long",
                format!("the socket's path has {length} bytes, and {PATH_MAX} are possible"),
            )
            .at(address)
            .why("The kernel has no room for more: nobody can listen or connect there.")
            .fix(format!("listen = [\"{ELSEWHERE}\"]"))
    })
}

/// There is nobody.
#[must_use]
pub fn nobody(seen: &Seen) -> Option<Finding> {
    let address = &seen.address;
    let start = "systemctl start predictd   # or by hand: predictd serve -c FILE";
    if let Some(missing) = &seen.missing {
        let Address::Unix(path) = address else { return None };
        let is_folder = missing != path && path.file_name() != missing.file_name();
        let (what, fix) = if is_folder {
            let fix = format!("install -d -m 755 {}   # under systemd: RuntimeDirectory=", missing.display());
            (format!("the folder of {address} does not exist"), fix)
        } else {
            (format!("nobody listens on {address}: there is no such file"), start.to_owned())
        };
        return Some(
            SOCKET
                .error("absent", what)
                .at(missing.display())
                .why("Each request becomes 502, and nginx's error log says (2: No such file or directory).")
                .fix(fix),
        );
    }
    if let (Address::Unix(path), Some(last)) = (address, seen.way.last())
        && seen.hidden.is_none()
        && !last.is_socket
    {
        return Some(
            SOCKET
                .error("not-a-socket", format!("{address} is no socket"))
                .at(path.display())
                .why("predictd does not start while a file is in the way of its socket.")
                .fix(format!("rm -i {}", path.display())),
        );
    }
    if seen.answer != Answer::Refused {
        return None;
    }
    let stale = matches!(address, Address::Unix(_));
    let what = if stale {
        format!("nobody listens on {address}: the file was left by a server that is gone")
    } else {
        format!("nobody listens on {address}")
    };
    Some(
        SOCKET
            .error(if stale { "stale" } else { "absent" }, what)
            .at(address)
            .why("Each request becomes 502, and nginx's error log says (111: Connection refused).")
            .fix(start),
    )
}

/// There is somebody, and it is not predictd.
fn somebody_else(seen: &Seen) -> Option<Finding> {
    let who = seen.holder.as_ref().map_or_else(
        || "a process that we may not look at (try as root)".into(),
        |process| format!("process {} ({})", process.pid, brief(&process.command)),
    );
    match seen.answer {
        Answer::Other | Answer::Closed => Some(match &seen.holder {
            Some(process) if process.is_predictd() => SOCKET
                .error("other-settings", format!("predictd runs on {} with other settings than these", seen.address))
                .at(who)
                .why("It refuses what this configuration allows: it was started with other `wires` or allow_users.")
                .fix("systemctl restart predictd   # or name the file it runs with: predictd doctor -c FILE"),
            None if seen.answer == Answer::Closed => SOCKET
                .error("closed", format!("{} closes connections without an answer", seen.address))
                .at(who)
                .why("It is another program, or predictd with other `wires` or allow_users than these.")
                .fix("sudo predictd doctor   # root sees who holds it"),
            holder => SOCKET
                .error("clash", format!("{} is held by another program", seen.address))
                .at(who)
                .why("predictd cannot listen there, and requests go to the other.")
                .fix(evading(&seen.address, holder.as_ref())),
        }),
        Answer::Silent => Some(
            SOCKET
                .error("silent", format!("{} takes connections, and does not answer", seen.address))
                .at(who)
                .why(
                    "Whoever listens is stopped, or holds all of its connections: nginx waits for its read \
                     timeout, then says 504.",
                )
                .fix("systemctl restart predictd"),
        ),
        _ => None,
    }
}

/// To listen elsewhere; to end what others may need comes last.
fn evading(address: &Address, holder: Option<&Process>) -> String {
    let elsewhere =
        if address.to_string() == ELSEWHERE { "unix:/run/predictd/predictd-2.sock" } else { ELSEWHERE };
    let kill = holder.map(|process| format!("; or, if nobody needs the other: kill {}", process.pid));
    format!("listen = [\"{elsewhere}\"]   # nginx has to pass there too{}", kill.unwrap_or_default())
}

/// Of a command line, what names it.
fn brief(command: &str) -> String {
    if command.chars().count() <= 40 {
        command.to_owned()
    } else {
        command.chars().take(39).chain(['…']).collect()
    }
}

/// Connections that wait.
fn queue(seen: &Seen) -> Option<Finding> {
    let socket = seen.listening.as_ref()?;
    let (waiting, backlog) = (socket.waiting, socket.backlog);
    let at = format!("{} ({waiting} wait, {backlog} may)", seen.address);
    if seen.answer == Answer::Full || waiting > 0 && waiting >= backlog {
        return Some(
            SOCKET
                .error("queue-full", format!("the queue of {} is full", seen.address))
                .at(at)
                .why(
                    "The next connection is refused at once: 502, and nginx's error log says (11: Resource \
                     temporarily unavailable).",
                )
                .fix("predictd status   # what holds the connections; more room: [socket] backlog"),
        );
    }
    (waiting > 0 && waiting * 2 >= backlog).then(|| {
        SOCKET
            .warning(
                "queue-long",
                format!("{} wait on {}", plural(waiting as usize, "connection", "connections"), seen.address),
            )
            .at(at)
            .why("They are not accepted: limits.connections is reached, or the server is stopped.")
            .fix("predictd status   # what holds the connections")
    })
}

/// The kernel cuts what is asked for.
fn backlog(seen: &Seen, asked: &Asked, somaxconn: Option<u64>) -> Option<Finding> {
    let wanted = asked.backlog;
    let listening = seen.listening.as_ref().filter(|_| seen.answer == Answer::Predictd);
    let real = listening.map(|socket| u64::from(socket.backlog));
    if seen.inherited {
        let real = real.filter(|real| *real < wanted)?;
        return Some(
            SOCKET
                .warning("backlog", format!("systemd's socket has a backlog of {real}; {wanted} is usual"))
                .at(&seen.address)
                .why("More connections at once are refused: 502. Backlog= of its unit decides, and net.core.somaxconn.")
                .fix(format!("Backlog={wanted}   # in [Socket] of its .socket unit, which is then to be restarted")),
        );
    }
    let limit = somaxconn.filter(|limit| *limit < wanted);
    if let Some(limit) = limit {
        return Some(
            SOCKET
                .warning("somaxconn", format!("the kernel allows a backlog of {limit}; socket.backlog is {wanted}"))
                .at("net.core.somaxconn")
                .why(
                    "A burst of more connections than that is refused at once: 502, (11: Resource temporarily \
                     unavailable).",
                )
                .fix(format!("sysctl -w net.core.somaxconn={wanted} && systemctl restart predictd")),
        );
    }
    let real = real.filter(|real| *real < wanted)?;
    Some(
        SOCKET
            .warning(
                "backlog",
                format!("the running server has a backlog of {real}; socket.backlog is {wanted}"),
            )
            .at(&seen.address)
            .why("It was started with less, or before net.core.somaxconn was raised.")
            .fix("systemctl restart predictd"),
    )
}

/// `net.core.somaxconn`
#[must_use]
pub fn somaxconn() -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys/net/core/somaxconn")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
