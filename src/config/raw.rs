//! The configuration as it is written: names, defaults, units; not yet what it means.

use super::units::{Duration, Size};
use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) listen: Vec<String>,
    pub(super) admin: String,
    pub(super) admin_hosts: Vec<String>,
    pub(super) admin_allow_remote: bool,
    pub(super) uwsgi_stats: String,
    pub(super) wires: Vec<Wire>,
    pub(super) models: String,
    pub(super) cache: String,
    pub(super) pidfile: String,
    pub(super) strict_models: bool,
    pub(super) socket: Socket,
    pub(super) workers: Workers,
    pub(super) limits: Limits,
    pub(super) onnxruntime: OnnxRuntime,
    pub(super) log: Log,
    pub(super) defaults: toml::Table,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Wire {
    Uwsgi,
    FastCgi,
    Http,
}

/// `[socket]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Socket {
    pub(super) mode: String,
    pub(super) owner: String,
    pub(super) group: String,
    pub(super) backlog: u32,
    pub(super) allow_users: Vec<String>,
}

/// `[workers]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Workers {
    pub(super) count: Auto<usize>,
    pub(super) pin: String,
    pub(super) threads: usize,
    pub(super) slow_after: Duration,
    pub(super) stuck_after: Duration,
    pub(super) max_stuck: Auto<usize>,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) head: Size,
    pub(super) body: Size,
    pub(super) in_flight: Auto<Size>,
    pub(super) pixels: u64,
    pub(super) connections: u32,
    pub(super) head_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) drain: Duration,
}

/// `[onnxruntime]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OnnxRuntime {
    pub(super) library: String,
    pub(super) providers: Vec<String>,
    pub(super) fallback: bool,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Level,
    pub(super) format: Format,
    pub(super) file: String,
    pub(super) access: bool,
    pub(super) access_file: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Text,
    Json,
}

/// A value, or `"auto"` for the server to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auto<T> {
    Auto,
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Auto<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        enum Word {
            #[serde(rename = "auto")]
            Auto,
        }
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected \"auto\" or a value")]
        enum Either<T> {
            Auto(Word),
            Set(T),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Auto(Word::Auto) => Self::Auto,
            Either::Set(value) => Self::Set(value),
        })
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration(std::time::Duration::from_secs(seconds))
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:8090".into()],
            admin: "127.0.0.1:8099".into(),
            admin_hosts: Vec::new(),
            admin_allow_remote: false,
            uwsgi_stats: String::new(),
            wires: vec![Wire::Uwsgi, Wire::FastCgi, Wire::Http],
            models: "models".into(),
            cache: String::new(),
            pidfile: String::new(),
            strict_models: true,
            socket: Socket::default(),
            workers: Workers::default(),
            limits: Limits::default(),
            onnxruntime: OnnxRuntime::default(),
            log: Log::default(),
            defaults: toml::Table::new(),
        }
    }
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            mode: "0660".into(),
            owner: String::new(),
            group: String::new(),
            backlog: 4096,
            allow_users: Vec::new(),
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            count: Auto::Auto,
            pin: "auto".into(),
            threads: 1,
            slow_after: Duration(std::time::Duration::from_millis(250)),
            stuck_after: seconds(5),
            max_stuck: Auto::Auto,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Size(64 << 10),
            body: Size(64 << 20),
            in_flight: Auto::Auto,
            pixels: 50_000_000,
            connections: 8192,
            head_timeout: seconds(10),
            body_timeout: seconds(60),
            write_timeout: seconds(60),
            idle_timeout: seconds(75),
            drain: seconds(30),
        }
    }
}

impl Default for OnnxRuntime {
    fn default() -> Self {
        Self { library: "auto".into(), providers: vec!["cpu".into()], fallback: false }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: Level::Info,
            format: Format::Text,
            file: String::new(),
            access: true,
            access_file: String::new(),
        }
    }
}
