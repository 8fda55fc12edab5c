//! What is right key by key and makes no sense together, and what is set and has no effect.
//!
//! Of two that clash the one of the later layer is blamed, or the later in the file. A key that is wrong by itself proves nothing
//! about others.

use super::{Config, Origin, Pin, layers::Merged, model, problem::Problems, reading, units::Size};
use crate::os::{cpus::CpuId, socket::Address};
use std::{fmt::Display, net::IpAddr, path::Path};

/// Tells of everything, and notes what has no effect. `allowed` are the cores that this process may use, if that is known.
pub(super) fn find(config: &mut Config, values: &Merged, allowed: &[CpuId], problems: &mut Problems) {
    model::check_defaults(&config.defaults, problems);
    addresses(config, values, problems);
    files(config, values, problems);
    let limits = &config.limits;
    if let Some(in_flight) = limits.in_flight.filter(|in_flight| *in_flight < limits.body) {
        let (in_flight, body) = (Size(in_flight), Size(limits.body));
        let what = format!("in_flight = {in_flight} has no room for one body = {body}");
        blame(&["limits.body", "limits.in_flight"], &what, values, problems);
    }
    workers(config, values, allowed, problems);
    let changed = changed_keys(config);
    without_effect(config, &changed);
}

/// Tells it of the key that was set last, unless one of them is wrong by itself.
fn blame(keys: &[&str], what: &str, values: &Merged, problems: &mut Problems) {
    if keys.iter().any(|key| problems.concerns(key)) {
        return;
    }
    if let Some(last) = keys.iter().max_by_key(|key| values.origin(key)) {
        problems.add(values.origin(last), last, what);
    }
}

/// What a key takes for itself: an address, or a file.
struct Claim<'a, T: ?Sized> {
    key: &'static str,
    what: &'a T,
    origin: Origin,
}

fn addresses_of<'a>(config: &'a Config, values: &Merged) -> Vec<Claim<'a, Address>> {
    let listen = config.listen.iter().enumerate();
    let listen =
        listen.map(|(at, what)| Claim { key: "listen", what, origin: values.origin_of_item("listen", at) });
    let others = [("admin", config.admin.as_ref()), ("uwsgi_stats", config.uwsgi_stats.as_ref())];
    let others = others
        .into_iter()
        .filter_map(|(key, address)| Some(Claim { key, what: address?, origin: values.origin(key) }));
    listen.chain(others).collect()
}

/// Tells of two that want the same.
fn taken(one: (&str, impl Display, &Origin), other: (&str, impl Display, &Origin), problems: &mut Problems) {
    if problems.concerns(one.0) || problems.concerns(other.0) {
        return;
    }
    let say = |first: (&str, &dyn Display, &Origin), last: &dyn Display| {
        format!("{last} is taken by {} = {} already ({})", first.0, first.1, first.2.brief())
    };
    if one.2 <= other.2 {
        problems.add(other.2.clone(), other.0, say((one.0, &one.1, one.2), &other.1));
    } else {
        problems.add(one.2.clone(), one.0, say((other.0, &other.1, other.2), &one.1));
    }
}

fn addresses(config: &mut Config, values: &Merged, problems: &mut Problems) {
    let all = addresses_of(config, values);
    for (at, one) in all.iter().enumerate() {
        for other in all[at + 1..].iter().filter(|other| clash(one.what, other.what)) {
            taken((one.key, one.what, &one.origin), (other.key, other.what, &other.origin), problems);
        }
    }
    if let Some(admin) = config.admin.as_ref().filter(|admin| admin.is_remote() && !config.admin_allow_remote)
    {
        let what = format!(
            "{admin} is reached by other machines, who could load and unload models: set admin_allow_remote = true if that is meant"
        );
        blame(&["admin", "admin_allow_remote"], &what, values, problems);
    }
    if let Some(stats) = config.uwsgi_stats.as_ref().filter(|stats| stats.is_remote()) {
        config.notes.push(format!(
            "uwsgi_stats = {stats} is reached by other machines, who need not say who they are"
        ));
    }
}

/// Whether only one of the two can be listened on.
fn clash(one: &Address, other: &Address) -> bool {
    let (Address::Tcp(a), Address::Tcp(b)) = (one, other) else { return one == other };
    // Port 0 is any that is free. `::` takes IPv4 too, unless the system says otherwise.
    let covers = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

/// No file can be two things. (Two sockets at one path are two addresses that are the same.)
fn files(config: &Config, values: &Merged, problems: &mut Problems) {
    let sockets = addresses_of(config, values).into_iter().filter_map(|address| match address.what {
        Address::Unix(path) => Some(Claim { key: address.key, what: path.as_path(), origin: address.origin }),
        _ => None,
    });
    let mut all: Vec<Claim<'_, Path>> = sockets.collect();
    for (key, path) in [
        ("pidfile", config.pidfile.as_deref()),
        ("log.file", config.log.file.as_deref()),
        ("log.access_file", config.log.access_file.as_deref()),
    ] {
        let Some(what) = path else { continue };
        let file = Claim { key, what, origin: values.origin(key) };
        for other in all.iter().filter(|other| other.what == file.what) {
            let shown = file.what.display();
            taken((other.key, &shown, &other.origin), (file.key, &shown, &file.origin), problems);
        }
        all.push(file);
    }
}

fn workers(config: &mut Config, values: &Merged, allowed: &[CpuId], problems: &mut Problems) {
    if allowed.is_empty() {
        return;
    }
    let workers = &config.workers;
    if let Pin::Cpus(cpus) = &workers.pin {
        let forbidden: Vec<CpuId> = cpus.iter().filter(|cpu| !allowed.contains(cpu)).copied().collect();
        if !forbidden.is_empty() {
            let (asked, may) = (Pin::Cpus(forbidden), Pin::Cpus(allowed.to_vec()));
            let what = format!(
                "this process may not run on {asked}: it has the cores {may} (see taskset -p, or the cgroup's cpuset)"
            );
            problems.add(values.origin("workers.pin"), "workers.pin", what);
        }
    }
    let cores = workers.count.map_or(workers.threads, |count| count.saturating_mul(workers.threads));
    if cores > allowed.len() {
        let set = match workers.count {
            Some(count) if workers.threads > 1 => {
                format!("workers.count = {count} x threads = {}", workers.threads)
            }
            Some(count) => format!("workers.count = {count}"),
            None => format!("workers.threads = {}", workers.threads),
        };
        config
            .notes
            .push(format!("{set} is more than the {} cores that this process may use", allowed.len()));
    }
}

/// The keys that have another value than their default.
fn changed_keys(config: &Config) -> Vec<String> {
    let default = reading::settings(&Merged::of([reading::defaults()]));
    let changed = config.settings.iter().filter(|setting| !default.contains(setting));
    changed.map(|setting| setting.key.clone()).collect()
}

/// Notes what is set, and does nothing because of something else.
fn without_effect(config: &mut Config, changed: &[String]) {
    let file = |address: &Address| matches!(address, Address::Unix(_));
    // systemd's may be one, whose file is as its unit has it.
    let unix = |address: &Address| !matches!(address, Address::Tcp(_));
    let (no_file, no_unix) = (!config.listen.iter().any(file), !config.listen.iter().any(unix));
    const NO_FILE: &str = "no address of listen is unix:/path";
    const NO_SOCKET: &str = "no address of listen is a Unix socket";
    let no_admin = config.admin.is_none();
    let nobody_else =
        config.admin.as_ref().is_some_and(|admin| matches!(admin, Address::Tcp(_)) && !admin.is_remote());
    let without: [(&str, bool, &str); 9] = [
        ("admin_hosts", no_admin, "admin is off"),
        ("admin_allow_remote", no_admin, "admin is off"),
        (
            "admin_allow_remote",
            config.admin_allow_remote && nobody_else,
            "other machines do not reach the address of admin",
        ),
        ("socket.mode", no_file, NO_FILE),
        ("socket.owner", no_file, NO_FILE),
        ("socket.group", no_file, NO_FILE),
        ("socket.allow_users", no_unix, NO_SOCKET),
        ("log.access_file", !config.log.access, "log.access is false"),
        ("onnxruntime.fallback", config.onnxruntime.providers.len() == 1, "there is one provider only"),
    ];
    for (key, idle, why) in without {
        if idle && changed.iter().any(|changed| changed == key) {
            config.notes.push(format!("{key} is set, and has no effect: {why}"));
        }
    }
}
