//! What was asked of the server: defaults, then the file, then the environment, then the command line.
//!
//! Two stages: `raw` is what is written, [`Config`] what is meant. Every key is in `example.toml`.

pub mod model;
mod raw;
pub mod units;

use crate::os::{
    cpus::CpuId,
    socket::{Address, Options as SocketOptions},
};
use config::{ConfigError, File, FileFormat};
use predictd_protocol::gateway::detect::{Wire, Wires};
use raw::{Auto, Raw};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The commented file that holds every key with its default.
pub const EXAMPLE: &str = include_str!("example.toml");

/// What comes before each variable's name.
const PREFIX: &str = "PREDICTD_";

/// What is meant.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where requests come in.
    pub listen: Vec<Address>,
    /// How Unix sockets are made.
    pub socket: SocketOptions,
    /// The folder of models.
    pub models: PathBuf,
    /// Where private copies of model files go; the system's temporary folder if not given.
    pub cache: Option<PathBuf>,
    /// Models given one by one, `NAME=PATH`, beside those of the folder.
    pub extra_models: Vec<(String, PathBuf)>,
    /// Whether a model that cannot be loaded keeps the server from starting.
    pub strict_models: bool,
    /// Whether models of kind `"fake"` are served.
    pub allow_fake: bool,
    /// The threads that run models.
    pub workers: Workers,
    /// Bounds on what peers may make us hold and wait for.
    pub limits: Limits,
    /// ONNX Runtime's library, if its place was given.
    pub library: Option<PathBuf>,
    /// The log.
    pub log: Log,
    /// What a model's own settings are laid over.
    pub defaults: toml::Table,
    /// What deserves a word in the log: unknown variables, keys whose feature is not there yet.
    pub notes: Vec<String>,
}

/// `[workers]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// How many; by the allowed cores if not given.
    pub count: Option<usize>,
    /// Where they run.
    pub pin: Pin,
    /// Cores of one run.
    pub threads: usize,
    /// A run that takes longer gives its place to another worker meanwhile.
    pub slow_after: Duration,
    /// A run that goes on for so long after it was told to end is stuck.
    pub stuck_after: Duration,
    /// So many stuck runs end the process; twice the number of workers if not given.
    pub max_stuck: Option<usize>,
}

/// Where workers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Each on a core of its own, of those allowed.
    Auto,
    /// Wherever the kernel likes.
    Off,
    /// On these.
    Cpus(Vec<CpuId>),
}

/// `[limits]`; durations and sizes as in `example.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described by its key in example.toml")]
pub struct Limits {
    pub head: usize,
    pub body: u64,
    /// A quarter of the memory there is if not given, and room for two of the largest bodies at least.
    pub in_flight: Option<u64>,
    pub pixels: u64,
    pub connections: u32,
    pub head_timeout: Duration,
    pub body_timeout: Duration,
    pub write_timeout: Duration,
    pub idle_timeout: Duration,
    pub drain: Duration,
    /// `wires`
    pub wires: Wires,
}

/// `[log]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least that is worth a line.
    pub level: tracing::Level,
    /// JSON instead of text.
    pub json: bool,
    /// Whether each request is a line.
    pub access: bool,
}

/// What the command line may set.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Instead of `listen`, if there are any.
    pub listen: Vec<String>,
    /// Instead of `admin`.
    pub admin: Option<String>,
    /// Instead of `models`.
    pub models: Option<String>,
    /// Models given one by one.
    pub extra_models: Vec<(String, PathBuf)>,
    /// Whether models of kind `"fake"` are served.
    pub allow_fake: bool,
}

impl Config {
    /// Reads the configuration as `predictd serve` without flags would: defaults, then `file`, then the environment.
    ///
    /// # Errors
    /// What is wrong, by key.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        load(file, environment(), Overrides::default())
    }
}

/// The variables of this process that are text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What is wrong with a configuration: each line a key and why.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Error(Vec<String>);

/// Reads the configuration; `file` may be absent, then there are only defaults, environment and command line.
///
/// # Errors
/// What is wrong, by key.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    overrides: Overrides,
) -> Result<Config, Error> {
    let mut notes = Vec::new();
    let mut builder = config::Config::builder();
    if let Some(file) = file {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Error(vec![format!("{} cannot be read: {error}", file.display())]))?;
        // Read once more as TOML alone, for errors that show the line.
        if let Err(error) = toml::from_str::<Raw>(&text) {
            return Err(Error(vec![format!("{}: {}", file.display(), error.to_string().trim_end())]));
        }
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let fail = |error: ConfigError| Error(vec![error.to_string()]);
    for (name, value) in environment {
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        let key = key.to_lowercase().replace("__", ".");
        match default_of(&key) {
            Some(toml::Value::Array(_)) => {
                let items: Vec<&str> =
                    value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
                builder = builder.set_override(key, items).map_err(fail)?;
            }
            // A number where "auto" is the default; other numbers and truths the crate reads from their text.
            Some(toml::Value::String(word)) if word == "auto" && value.parse::<i64>().is_ok() => {
                builder = builder.set_override(key, value.parse::<i64>().ok()).map_err(fail)?;
            }
            Some(_) => builder = builder.set_override(key, value).map_err(fail)?,
            None => {
                notes.push(format!("the variable {name} names no key of the configuration, and is ignored"));
            }
        }
    }
    let Overrides { listen, admin, models, extra_models, allow_fake } = overrides;
    if !listen.is_empty() {
        builder = builder.set_override("listen", listen).map_err(fail)?;
    }
    builder = builder.set_override_option("admin", admin).map_err(fail)?;
    builder = builder.set_override_option("models", models).map_err(fail)?;
    let raw: Raw = builder.build().and_then(config::Config::try_deserialize).map_err(fail)?;
    let mut config = meant(raw, notes)?;
    config.extra_models = extra_models;
    config.allow_fake = allow_fake;
    Ok(config)
}

/// The default of a key by its dotted name, if there is such a key.
fn default_of(key: &str) -> Option<toml::Value> {
    let example: toml::Table = EXAMPLE.parse().expect("a test reads it");
    let mut value = toml::Value::Table(example);
    for part in key.split('.') {
        value = value.get(part)?.clone();
    }
    (!value.is_table()).then_some(value)
}

/// Turns what is written into what is meant, collecting every error.
fn meant(raw: Raw, mut notes: Vec<String>) -> Result<Config, Error> {
    let mut errors: Vec<String> = Vec::new();
    not_yet(&raw, &mut notes);
    if raw.listen.is_empty() {
        errors.push("listen: there is no address to listen on".into());
    }
    let listen = raw.listen.iter().filter_map(|text| keep(text.parse(), "listen", &mut errors)).collect();
    if raw.wires.is_empty() {
        errors.push("wires: there is no protocol to speak".into());
    }
    let wires = raw.wires.iter().map(|wire| match wire {
        raw::Wire::Uwsgi => Wire::Uwsgi,
        raw::Wire::FastCgi => Wire::FastCgi,
        raw::Wire::Http => Wire::Http,
    });
    let wires: Wires = wires.collect();
    let mode = keep(parse_mode(&raw.socket.mode), "socket.mode", &mut errors);
    let pin = keep(parse_pin(&raw.workers.pin), "workers.pin", &mut errors);
    for (key, zero) in [
        ("workers.threads", raw.workers.threads == 0),
        ("workers.count", raw.workers.count == Auto::Set(0)),
        ("workers.max_stuck", raw.workers.max_stuck == Auto::Set(0)),
        ("limits.connections", raw.limits.connections == 0),
    ] {
        if zero {
            errors.push(format!("{key}: must be at least 1"));
        }
    }
    if raw.limits.head.0 > 64 << 10 {
        errors.push("limits.head: at most 64KiB, since a uwsgi packet cannot say more".into());
    }
    if let Err(error) = model::Model::parse("", "defaults", &raw.defaults) {
        errors.push(format!("defaults: {}", error.message));
    }
    let (Some(mode), Some(pin), true) = (mode, pin, errors.is_empty()) else { return Err(Error(errors)) };
    let backlog = i32::try_from(raw.socket.backlog).unwrap_or(i32::MAX);
    let count = match raw.workers.count {
        Auto::Auto => None,
        Auto::Set(count) => Some(count),
    };
    let max_stuck = match raw.workers.max_stuck {
        Auto::Auto => None,
        Auto::Set(max_stuck) => Some(max_stuck),
    };
    let library = (raw.onnxruntime.library != "auto").then(|| raw.onnxruntime.library.into());
    Ok(Config {
        listen,
        socket: SocketOptions { mode, backlog },
        models: raw.models.into(),
        cache: (!raw.cache.is_empty()).then(|| raw.cache.into()),
        extra_models: Vec::new(),
        strict_models: raw.strict_models,
        allow_fake: false,
        workers: Workers {
            count,
            pin,
            threads: raw.workers.threads,
            slow_after: raw.workers.slow_after.0,
            stuck_after: raw.workers.stuck_after.0,
            max_stuck,
        },
        limits: Limits {
            head: usize::try_from(raw.limits.head.0).unwrap_or(usize::MAX),
            body: raw.limits.body.0,
            in_flight: match raw.limits.in_flight {
                Auto::Auto => None,
                Auto::Set(size) => Some(size.0),
            },
            pixels: raw.limits.pixels,
            connections: raw.limits.connections,
            head_timeout: raw.limits.head_timeout.0,
            body_timeout: raw.limits.body_timeout.0,
            write_timeout: raw.limits.write_timeout.0,
            idle_timeout: raw.limits.idle_timeout.0,
            drain: raw.limits.drain.0,
            wires,
        },
        library,
        log: Log {
            level: match raw.log.level {
                raw::Level::Error => tracing::Level::ERROR,
                raw::Level::Warn => tracing::Level::WARN,
                raw::Level::Info => tracing::Level::INFO,
                raw::Level::Debug => tracing::Level::DEBUG,
                raw::Level::Trace => tracing::Level::TRACE,
            },
            json: raw.log.format == raw::Format::Json,
            access: raw.log.access,
        },
        defaults: raw.defaults,
        notes,
    })
}

/// Names the keys that were set and have no effect yet.
fn not_yet(raw: &Raw, notes: &mut Vec<String>) {
    let default = Raw::default();
    for (key, set) in [
        ("admin", raw.admin != default.admin && !raw.admin.is_empty()),
        ("admin_hosts", raw.admin_hosts != default.admin_hosts),
        ("admin_allow_remote", raw.admin_allow_remote != default.admin_allow_remote),
        ("uwsgi_stats", raw.uwsgi_stats != default.uwsgi_stats),
        ("pidfile", raw.pidfile != default.pidfile),
        ("socket.owner", raw.socket.owner != default.socket.owner),
        ("socket.group", raw.socket.group != default.socket.group),
        ("socket.allow_users", raw.socket.allow_users != default.socket.allow_users),
        ("onnxruntime.providers", raw.onnxruntime.providers != default.onnxruntime.providers),
        ("onnxruntime.fallback", raw.onnxruntime.fallback != default.onnxruntime.fallback),
        ("log.file", raw.log.file != default.log.file),
        ("log.access_file", raw.log.access_file != default.log.access_file),
    ] {
        if set {
            notes.push(format!("{key} is set, and has no effect in this version"));
        }
    }
}

fn keep<T, E: std::fmt::Display>(result: Result<T, E>, key: &str, errors: &mut Vec<String>) -> Option<T> {
    result.map_err(|error| errors.push(format!("{key}: {error}"))).ok()
}

/// `"0660"`, as chmod has it.
fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| format!("'{text}' is not a mode: write it in octal, like \"0660\""))
}

/// `"auto"`, `"off"` or `"0-3,8"`.
fn parse_pin(text: &str) -> Result<Pin, String> {
    match text {
        "auto" => return Ok(Pin::Auto),
        "off" => return Ok(Pin::Off),
        _ => {}
    }
    let error = || format!("'{text}' is not \"auto\", \"off\" or a list of cores like \"0-3,8\"");
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| error())?;
        let last: usize = last.trim().parse().map_err(|_| error())?;
        if first > last || last >= rustix::thread::CpuSet::MAX_CPU {
            return Err(error());
        }
        cpus.extend((first..=last).map(CpuId));
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(Pin::Cpus(cpus))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
