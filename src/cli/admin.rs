//! A running server's admin interface, asked by HTTP: where it is, and what it says.

use super::{UNAVAILABLE, client};
use crate::{
    config::{self, Config, Overrides},
    os::socket::{self, Address},
};
use anyhow::Context;
use clap::Args;
use http::StatusCode;
use serde_json::Value;
use std::{fmt, path::PathBuf, process::ExitCode, time::Duration};

/// Which server is meant.
#[derive(Args, Clone, Debug)]
pub(super) struct Server {
    /// The server's configuration file, which says where its admin interface is
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin interface, without reading a file: unix:/path, unix:@name, 127.0.0.1:8099
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<Address>,
}

/// Where it answers.
#[derive(Clone, Debug)]
pub(super) struct Admin(Address);

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why nothing was heard of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    /// It is off.
    #[error("the admin interface is off (admin = \"\" in the configuration): there is nobody to ask")]
    Off,
    /// Nobody is there.
    #[error("no server answers on {0}: {1}")]
    Nobody(Address, std::io::Error),
    /// Somebody is, and says nothing of use.
    #[error("{0} does not answer as predictd's admin interface does: {1:#}")]
    Stranger(Address, anyhow::Error),
}

impl Silence {
    /// Says it, and how the command ends.
    pub(super) fn report(&self) -> ExitCode {
        eprintln!("predictd: {self}");
        UNAVAILABLE.into()
    }
}

impl Server {
    pub(super) fn find(self) -> anyhow::Result<Result<Admin, Silence>> {
        if let Some(address) = self.admin {
            return Ok(Ok(Admin(address)));
        }
        let config = config::load(self.config.as_deref(), config::environment(), Overrides::default())?;
        Ok(Admin::of(&config).ok_or(Silence::Off))
    }
}

impl Admin {
    /// As the configuration has it.
    pub(super) fn of(config: &Config) -> Option<Self> {
        config.admin.clone().map(Self)
    }

    /// Sends a request without a body, and gives what comes within `patience`.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        patience: Duration,
    ) -> Result<(StatusCode, Value), Silence> {
        let Self(address) = self;
        let mut stream =
            socket::connect(address, patience).map_err(|error| Silence::Nobody(address.clone(), error))?;
        // To a Unix socket, any Host would do.
        let host = if let Address::Tcp(to) = address { to.to_string() } else { "localhost".to_owned() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        let mut exchange = || {
            let (parts, body) = client::exchange(&mut *stream, request.as_bytes())?;
            let body =
                serde_json::from_slice(&body).with_context(|| format!("{} without JSON", parts.status))?;
            Ok((parts.status, body))
        };
        exchange().map_err(|error| Silence::Stranger(address.clone(), error))
    }
}

/// A time as people say it: two units at most.
pub(super) fn spoken(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 if seconds < 10.0 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86400, whole % 86400 / 3600),
    }
}

/// A member that is text, or nothing.
pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_two_units_at_most() {
        for (seconds, said) in [
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (59.9, "59 s"),
            (61.0, "1 min 1 s"),
            (7260.0, "2 h 1 min"),
            (90000.0, "1 d 1 h"),
        ] {
            assert_eq!(spoken(seconds), said);
        }
    }
}
