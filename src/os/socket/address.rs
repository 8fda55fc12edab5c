//! Addresses as users write them.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// Where to listen or to call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `unix:/run/predictd.sock`
    Unix(PathBuf),
    /// `unix:@name`: of no file, gone with its last holder.
    Abstract(String),
    /// `127.0.0.1:8090`, `[::1]:8090`
    Tcp(SocketAddr),
    /// `fd:NAME`: handed over by systemd under that name.
    Inherited(String),
}

/// Why a text is no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an address: write unix:/path, unix:@name, 127.0.0.1:8090, [::1]:8090 or fd:NAME")]
pub struct AddressError(String);

impl Address {
    /// Whether other machines reach it. Of an inherited socket that is known by its own address only.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Tcp(to) if !to.ip().to_canonical().is_loopback())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.strip_prefix('@') {
                Some("") => Err(error()),
                Some(name) => Ok(Self::Abstract(name.to_owned())),
                None if path.starts_with('/') => Ok(Self::Unix(path.into())),
                None => Err(error()),
            };
        }
        match text.strip_prefix("fd:") {
            Some("") => Err(error()),
            Some(name) => Ok(Self::Inherited(name.to_owned())),
            None => text.parse().map(Self::Tcp).map_err(|_| error()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
            Self::Tcp(address) => address.fmt(f),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_this_machine_alone_is_remote() {
        for (text, remote) in [
            ("127.0.0.1:80", false),
            ("127.9.9.9:80", false),
            ("[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("10.0.0.1:80", true),
            ("unix:/x", false),
            ("unix:@x", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_remote(), remote, "{text}");
        }
    }

    #[test]
    fn addresses_are_read_as_written() {
        for text in ["unix:/run/x.sock", "unix:@x", "127.0.0.1:80", "[::1]:80", "fd:web"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in
            ["", "unix:", "unix:@", "unix:x.sock", "fd:", "localhost:80", ":80", "127.0.0.1", "/run/x"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
