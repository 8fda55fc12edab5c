//! Limits that Linux sets: open files, cores, memory; who runs the server; sockets that nobody closes.

use super::{
    Finding, Subject,
    asked::{Asked, bytes},
    identity::Process,
    plural,
};
use crate::{
    config::units::Size,
    os::{cpus, memory},
};
use std::{fs, net::SocketAddr};

const SYSTEM: Subject = Subject::System;

/// What is to be seen of the machine and of a running server.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Files that may be open, and whose limit it is.
    pub open_files: Option<(u64, Limited)>,
    /// Cores that we may use.
    pub cores: usize,
    /// Cores' worth of time that the cgroup grants.
    pub quota: Option<f64>,
    /// Bytes that we may use.
    pub memory: Option<u64>,
    /// Whether the running server has root's rights.
    pub server_is_root: bool,
    /// `ORT_DISABLE_TELEMETRY`
    pub telemetry: Option<String>,
    /// Connections that the kernel refused since it was started, for want of room in a queue.
    pub overflows: u64,
    /// The module that may forbid what the bits allow, where it is in force.
    pub mandatory: Option<&'static str>,
    /// Whether user ids here are not those of the machine.
    pub user_namespace: bool,
    /// Connections whose client has gone and that nginx holds, by their local address.
    pub close_wait: Vec<SocketAddr>,
}

/// Whose limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// The running server's, by its number.
    Server(u32),
    /// Ours, since no server runs that could be looked at.
    Shell,
}

/// Looks; `server` is the process that listens, `ports` are nginx's, and `profile` is what holds its workers in.
#[must_use]
pub fn look(server: Option<&Process>, ports: &[u16], profile: &str) -> Seen {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (limits, limited) = match server {
        Some(process) => (read(&format!("/proc/{}/limits", process.pid)), Limited::Server(process.pid)),
        None => (read("/proc/self/limits"), Limited::Shell),
    };
    let close_wait = [read("/proc/net/tcp"), read("/proc/net/tcp6")];
    Seen {
        open_files: open_files(&limits).map(|limit| (limit, limited)),
        cores: cpus::allowed().map_or(1, |cores| cores.len()),
        quota: cpus::quota(),
        memory: memory::allowed(),
        server_is_root: server.is_some_and(|process| process.identity.uid == 0),
        telemetry: std::env::var("ORT_DISABLE_TELEMETRY").ok(),
        overflows: overflows(&read("/proc/net/netstat")),
        mandatory: mandatory(&read("/sys/fs/selinux/enforce"), profile),
        user_namespace: is_mapped(&read("/proc/self/uid_map")),
        close_wait: close_wait.iter().flat_map(|table| close_wait_of(table, ports)).collect(),
    }
}

/// The soft limit, of `/proc/PID/limits`.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// `TcpExt: ListenOverflows`, of two lines: names, then numbers.
fn overflows(netstat: &str) -> u64 {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else { return 0 };
    let mut pairs = names.split_whitespace().zip(numbers.split_whitespace());
    pairs
        .find(|(name, _)| *name == "ListenOverflows")
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

/// SELinux holds every program in where it is in force; AppArmor those that have a profile.
fn mandatory(selinux: &str, profile: &str) -> Option<&'static str> {
    if selinux.trim() == "1" {
        return Some("SELinux");
    }
    profile.trim().ends_with("(enforce)").then_some("AppArmor")
}

fn is_mapped(uid_map: &str) -> bool {
    let all: Vec<&str> = uid_map.split_whitespace().collect();
    !all.is_empty() && all != ["0", "0", "4294967295"]
}

/// Sockets in the state `CLOSE_WAIT` on one of the ports, of `/proc/net/tcp` or `tcp6`.
fn close_wait_of(table: &str, ports: &[u16]) -> Vec<SocketAddr> {
    const CLOSE_WAIT: &str = "08";
    let socket = |line: &str| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let (ip, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        if state != CLOSE_WAIT || !ports.contains(&port) {
            return None;
        }
        let ip = match ip.len() {
            8 => u32::from_str_radix(ip, 16).ok()?.to_ne_bytes().into(),
            // Which one does not matter here.
            _ => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        Some(SocketAddr::new(ip, port))
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// Descriptors that a server has besides connections: listeners, logs, models.
const OTHER_FILES: u64 = 64;

/// What a server needs besides models and requests.
const BASE_MEMORY: u64 = 64 << 20;

/// Of requests, what a small server may hold at once.
const LEAST_IN_FLIGHT: u64 = 128 << 20;

/// Everything that is wrong.
#[must_use]
pub fn findings(seen: &Seen, asked: &Asked, aborts_ignored: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(files(seen, asked));
    found.extend(cores(seen, asked));
    found.extend(room(seen, asked));
    if seen.server_is_root {
        found.push(
            SYSTEM
                .note("root", "the running server has root's rights")
                .at("the process")
                .why("It needs none: whoever finds a hole in a model or a parser would have them too.")
                .fix("User=predictd   # in the systemd unit"),
        );
    }
    if seen.user_namespace && !asked.allow_users.is_empty() {
        found.push(
            SYSTEM
                .note("user-namespace", "user ids here are not those of the machine")
                .at("/proc/self/uid_map; socket.allow_users")
                .why("A client of another user namespace comes as user 65534, whoever it is: names do not help.")
                .fix("allow_users = []   # in [socket], with mode and group of the socket instead"),
        );
    }
    if seen.telemetry.as_deref() != Some("1") {
        found.push(
            SYSTEM
                .warning("telemetry", "ONNX Runtime's telemetry is not switched off")
                .at("ORT_DISABLE_TELEMETRY")
                .why("predictd could not set the variable itself, and the library may call home.")
                .fix("export ORT_DISABLE_TELEMETRY=1"),
        );
    }
    if seen.overflows > 0 {
        found.push(
            SYSTEM
                .note(
                    "overflows",
                    format!("the kernel has dropped {} TCP connections since its start", seen.overflows),
                )
                .at("ListenOverflows in /proc/net/netstat")
                .why("A listener's queue was full; if the number grows, it is one of today's.")
                .fix("nstat -az TcpExtListenOverflows; ss -ltn   # Recv-Q is who waits"),
        );
    }
    if let Some(module) = seen.mandatory {
        let fix =
            if module == "SELinux" { "ausearch -m avc -ts recent" } else { "journalctl -k --grep apparmor" };
        found.push(
            SYSTEM
                .note("mandatory", format!("{module} is in force, which this does not look into"))
                .at(module)
                .why("It may forbid nginx what the permission bits allow: then its log says (13: Permission denied) all the same.")
                .fix(fix),
        );
    }
    found.extend(close_wait(seen, aborts_ignored));
    found
}

fn files(seen: &Seen, asked: &Asked) -> Option<Finding> {
    let (limit, whose) = seen.open_files?;
    let needed = asked.connections + OTHER_FILES;
    if limit >= needed {
        return None;
    }
    let what = format!("{limit} files may be open; limits.connections is {}", asked.connections);
    let found = match whose {
        Limited::Server(pid) => SYSTEM.warning("open-files", what).at(format!("process {pid}")),
        Limited::Shell => SYSTEM.note("open-files", what).at("this shell, since no server is to be seen"),
    };
    Some(found.why("Each connection is an open file: over the limit no connection is accepted.").fix(
        format!("LimitNOFILE={}   # in the systemd unit; in a shell: ulimit -n", needed.next_power_of_two()),
    ))
}

fn cores(seen: &Seen, asked: &Asked) -> Option<Finding> {
    let count = asked.workers_asked?;
    if let Some(quota) = seen.quota.filter(|quota| (count as f64) > quota.ceil()) {
        return Some(
            SYSTEM
                .warning("quota", format!("{count} workers share {quota} cores' worth of time"))
                .at("the cgroup's cpu.max; workers.count")
                .why("When it is used up all workers stand still, often for most of 100 ms.")
                .fix(format!("count = {}   # in [workers], or \"auto\"", quota.ceil())),
        );
    }
    (count > seen.cores).then(|| {
        SYSTEM
            .note("cores", format!("{count} workers share {}", plural(seen.cores, "core", "cores")))
            .at("workers.count")
            .why("They take turns, and each run takes longer: nothing is gained.")
            .fix("count = \"auto\"   # in [workers]")
    })
}

fn room(seen: &Seen, asked: &Asked) -> Option<Finding> {
    let memory = seen.memory?;
    let in_flight = asked.in_flight.unwrap_or_else(|| (memory / 4).max(asked.body.saturating_mul(2)));
    // ONNX Runtime's own copy of what it has optimised comes to about a third.
    let weights = asked.weights.saturating_add(asked.weights / 3);
    let with = |in_flight: u64| weights.saturating_add(in_flight).saturating_add(BASE_MEMORY);
    let needed = with(in_flight);
    // Room for two bodies, as where it is not set: one alone would wait for the other.
    let least = LEAST_IN_FLIGHT.max(asked.body.saturating_mul(2));
    let fix = if least < in_flight && with(least) <= memory {
        format!("in_flight = \"{}\"   # in [limits]; or more memory, or fewer models", Size(least))
    } else {
        format!(
            "MemoryMax={}G   # in the systemd unit, on a machine that has it; or fewer models, or a smaller limits.body",
            needed.next_multiple_of(1 << 30) >> 30
        )
    };
    (needed > memory).then(|| {
        SYSTEM
            .warning(
                "memory",
                format!("models and requests may need {}; there are {}", whole(needed), whole(memory)),
            )
            .at(format!("models of {}, limits.in_flight of {}", whole(asked.weights), whole(in_flight)))
            .why("The kernel ends the server when the memory is used up.")
            .fix(fix)
    })
}

fn whole(size: u64) -> String {
    bytes(if size >= 10 << 20 { size >> 20 << 20 } else { size })
}

/// The first user's symptom: clients that have gone, and sockets that stay.
fn close_wait(seen: &Seen, aborts_ignored: bool) -> Option<Finding> {
    let first = seen.close_wait.first()?;
    let count = plural(seen.close_wait.len(), "connection", "connections");
    let fix = if aborts_ignored {
        "uwsgi_ignore_client_abort off;   # fastcgi_, proxy_ likewise"
    } else {
        "predictd status   # which model is slow; lower its deadline"
    };
    Some(
        SYSTEM
            .warning("close-wait", format!("nginx holds {count} in CLOSE_WAIT"))
            .at(format!("port {}", first.port()))
            .why("Their clients have gone; nginx still waits for an answer, and does not close until it comes.")
            .fix(fix),
    )
}

#[cfg(test)]
#[path = "system_tests.rs"]
mod tests;
