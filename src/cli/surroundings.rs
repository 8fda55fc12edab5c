//! What doctor looks up around a server: nginx's configuration, nginx's user, where systemd's sockets are.

use super::{client, nginx::shipped_socket};
use crate::{
    doctor::{
        asked::Asked,
        identity::{self, Accounts, Process},
        nginx::{self, Directive, Endpoint, Files},
        socket::{Answer, Visitors, probe},
    },
    os::socket::Address,
};
use http::StatusCode;
use predictd_protocol::gateway::detect::Wire;
use std::{
    io::Read,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// nginx's configuration, or why there is none.
#[derive(Debug)]
pub(super) enum Nginx {
    /// It was read.
    Read {
        /// In words.
        from: String,
        /// All of it.
        tree: Vec<Directive>,
        /// Whether it was named: else this nginx may be there for others.
        named: bool,
    },
    /// It cannot be read.
    Wrong(String),
    /// There is none to see.
    Unseen(String),
}

/// How long nginx may take to print its configuration: it looks names up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long somebody may take to say who it is.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of it.
const DUMP_MAX: u64 = 32 << 20;

impl Nginx {
    /// From `file`, or from what nginx prints.
    pub(super) fn read(file: Option<&Path>) -> Self {
        let (from, read) = match file {
            Some(file) => {
                let main = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
                (main.display().to_string(), nginx::read(&Files::Disk, &main))
            }
            None => match dump() {
                Ok(text) => match Files::of_dump(&text) {
                    Some((files, main)) => {
                        (format!("{}, by nginx -T", main.display()), nginx::read(&files, &main))
                    }
                    None => {
                        return Self::Unseen("nginx -T prints nothing (try as root, or --nginx FILE)".into());
                    }
                },
                Err(reason) => return Self::Unseen(format!("{reason}; --nginx FILE reads it from there")),
            },
        };
        read.map_or_else(
            |error| Self::Wrong(error.to_string()),
            |tree| Self::Read { from, tree, named: file.is_some() },
        )
    }
}

/// What `nginx -T` prints.
fn dump() -> Result<String, String> {
    let mut command = Command::new("nginx");
    // Debian keeps it where an ordinary user's PATH does not look.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin:/sbin";
    command.arg("-T").env("PATH", path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|_| "nginx is not installed here")?;
    let stdout = child.stdout.take().ok_or("nginx -T prints nothing")?;
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.take(DUMP_MAX).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let end = Instant::now() + PATIENCE;
    while !reader.is_finished() {
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            return Err("nginx -T takes longer than 10 s".into());
        }
        thread::park_timeout(Duration::from_millis(10));
    }
    let _ = child.wait();
    reader.join().map_err(|_| "what nginx -T prints cannot be read".into())
}

/// Where systemd's sockets are that `listen` has only by name: of the addresses to which nginx passes, and that of our own
/// unit, those where predictd answers.
pub(super) fn inherited(nginx: &Nginx, asked: &Asked) -> Vec<Address> {
    let mut tried: Vec<(Address, Wire)> =
        asked.unplaced().filter_map(shipped_socket).map(|address| (address, asked.wire())).collect();
    let passes = match nginx {
        Nginx::Read { tree, .. } => nginx::passes(tree),
        _ => Vec::new(),
    };
    for pass in &passes {
        let spoken = pass.module.wire().filter(|wire| asked.wires.contains(*wire));
        for address in pass.endpoints.iter().filter_map(Endpoint::address) {
            let known = asked.listen.contains(&address) || tried.iter().any(|(other, _)| *other == address);
            if !known && is_here(&address) {
                tried.push((address, spoken.unwrap_or_else(|| asked.wire())));
            }
        }
    }
    tried.retain(|(address, wire)| is_predictd(address, *wire));
    tried.into_iter().map(|(address, _)| address).collect()
}

/// Whether it is of this machine: only such an address can be bound. Others are not for us to call.
fn is_here(address: &Address) -> bool {
    match address {
        Address::Tcp(to) => TcpListener::bind((to.ip(), 0)).is_ok(),
        _ => true,
    }
}

/// Whether who answers says that it is predictd: uWSGI answers a ping as we do.
fn is_predictd(address: &Address, wire: Wire) -> bool {
    probe(address, [wire].into_iter().collect()) == Answer::Predictd
        && client::json(address, wire, "/v2", ANSWER_PATIENCE)
            .is_ok_and(|(status, server)| status == StatusCode::OK && server["name"] == "predictd")
}

/// nginx's workers, as far as they run here.
fn workers(accounts: &Accounts) -> Vec<Process> {
    identity::processes(accounts, |command| command.starts_with("nginx: worker process"))
}

/// What holds a worker of nginx in.
pub(super) fn profile(accounts: &Accounts) -> String {
    workers(accounts).first().map(|worker| identity::profile(worker.pid)).unwrap_or_default()
}

/// Who nginx's workers are: by the configuration, and as they run.
pub(super) fn visitors(nginx: &Nginx, accounts: &Accounts) -> Visitors {
    let user = match nginx {
        Nginx::Read { tree, .. } => nginx::user(tree),
        _ => None,
    };
    let configured = user.and_then(|(name, group)| accounts.identity(name, group));
    let workers = workers(accounts);
    // Several may run here; one of the same user is meant.
    let running = workers.into_iter().map(|worker| worker.identity).find(|worker| match &configured {
        Some(configured) => worker.uid == configured.uid,
        None => user.is_none(),
    });
    // Built without another, nginx takes nobody.
    let read = matches!(nginx, Nginx::Read { .. });
    let nobody = || accounts.identity("nobody", None).filter(|_| read && user.is_none() && running.is_none());
    Visitors { configured: configured.or_else(nobody), running }
}
