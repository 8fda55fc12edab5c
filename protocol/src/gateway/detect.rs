//! Which protocol a connection speaks, from its first bytes.
//!
//! uwsgi starts with its modifier (0 a request, 100 a ping), FastCGI with its version, HTTP with a method. Where uwsgi is the
//! only wire every first byte is a modifier, but for the well-known starts of what was certainly not meant for it.

use std::fmt;

/// A protocol by which requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// nginx's `uwsgi_pass`.
    Uwsgi,
    /// nginx's `fastcgi_pass`.
    FastCgi,
    /// nginx's `proxy_pass`, and everyone else.
    Http,
}

impl Wire {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Uwsgi, Self::FastCgi, Self::Http];

    /// The name in configuration, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uwsgi => "uwsgi",
            Self::FastCgi => "fastcgi",
            Self::Http => "http",
        }
    }

    /// The wire of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wire| wire.name() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// nginx's directive that speaks it.
    #[must_use]
    pub const fn directive(self) -> &'static str {
        match self {
            Self::Uwsgi => "uwsgi_pass",
            Self::FastCgi => "fastcgi_pass",
            Self::Http => "proxy_pass",
        }
    }

    /// As it is written in prose.
    const fn title(self) -> &'static str {
        match self {
            Self::Uwsgi => "uwsgi",
            Self::FastCgi => "FastCGI",
            Self::Http => "HTTP",
        }
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The wires that a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wires(u8);

impl Wires {
    /// All three.
    pub const ALL: Self = Self(Wire::Uwsgi.bit() | Wire::FastCgi.bit() | Wire::Http.bit());

    /// Whether `wire` is among them.
    #[must_use]
    pub const fn contains(self, wire: Wire) -> bool {
        self.0 & wire.bit() != 0
    }

    /// Those allowed, in the order of [`Wire::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Wire> {
        Wire::ALL.into_iter().filter(move |wire| self.contains(*wire))
    }
}

impl FromIterator<Wire> for Wires {
    fn from_iter<T: IntoIterator<Item = Wire>>(wires: T) -> Self {
        Self(wires.into_iter().fold(0, |bits, wire| bits | wire.bit()))
    }
}

/// Someone who speaks none of the wires; printed, a hint for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// A TLS client hello.
    #[error(
        "the peer speaks TLS; nginx terminates TLS, and speaks without it to this socket (no https://, no suwsgi://)"
    )]
    Tls,
    /// HAProxy's PROXY protocol, version 1 or 2.
    #[error(
        "the peer sends a PROXY protocol header; switch it off (nginx: proxy_protocol off, HAProxy: no send-proxy)"
    )]
    ProxyProtocol,
    /// HTTP/2 with prior knowledge.
    #[error("the peer speaks HTTP/2 without TLS; use HTTP/1.1 (nginx: proxy_http_version 1.1)")]
    Http2,
    /// A wire that is not allowed here.
    #[error("{}", closed(*wire, *wires))]
    Closed {
        /// What the peer speaks.
        wire: Wire,
        /// What is allowed.
        wires: Wires,
    },
    /// Nothing known.
    #[error(
        "a first byte of {0:#04x} is none of uwsgi, FastCGI or HTTP; if it is uwsgi, modifier {0} is unavailable"
    )]
    Unknown(u8),
}

fn closed(wire: Wire, wires: Wires) -> String {
    let titles: Vec<_> = wires.iter().map(Wire::title).collect();
    let directives: Vec<_> = wires.iter().map(Wire::directive).collect();
    format!(
        "this is {}, and the socket takes {} only (`wires`); use {}",
        wire.title(),
        titles.join(" and "),
        directives.join(" or ")
    )
}

/// What the first bytes show, or `None` while more are needed.
///
/// # Errors
/// The [`Stranger`] who speaks none of `wires`.
pub fn detect(start: &[u8], wires: Wires) -> Result<Option<Wire>, Stranger> {
    const TELLTALES: [(&[u8], Stranger); 3] = [
        (b"PROXY ", Stranger::ProxyProtocol),
        (b"\r\n\r\n\0\r\nQUIT\n", Stranger::ProxyProtocol),
        (b"PRI * ", Stranger::Http2),
    ];
    let Some(&first) = start.first() else { return Ok(None) };
    for (telltale, stranger) in TELLTALES {
        if start.starts_with(telltale) {
            return Err(stranger);
        }
        if telltale.starts_with(start) {
            return Ok(None);
        }
    }
    let only_uwsgi = wires.iter().eq([Wire::Uwsgi]);
    let wire = match first {
        0 | 100 => Wire::Uwsgi,
        1 if !only_uwsgi => Wire::FastCgi,
        b'A'..=b'Z' if !only_uwsgi => Wire::Http,
        0x16 => return hello(start, only_uwsgi),
        b'A'..=b'Z' => return method(start, wires),
        _ if only_uwsgi => Wire::Uwsgi,
        _ => return Err(Stranger::Unknown(first)),
    };
    if wires.contains(wire) { Ok(Some(wire)) } else { Err(Stranger::Closed { wire, wires }) }
}

/// A handshake record of TLS 1.x, or uwsgi's modifier 22.
fn hello(start: &[u8], only_uwsgi: bool) -> Result<Option<Wire>, Stranger> {
    match start {
        [_] | [_, 3] => Ok(None),
        [_, 3, 0..=4, ..] => Err(Stranger::Tls),
        _ if only_uwsgi => Ok(Some(Wire::Uwsgi)),
        _ => Err(Stranger::Unknown(start[0])),
    }
}

/// An HTTP method where only uwsgi is allowed, or a modifier that is a letter: the size that follows it decides.
fn method(start: &[u8], wires: Wires) -> Result<Option<Wire>, Stranger> {
    match start {
        [_, b'A'..=b'Z', b'A'..=b'Z', ..] => Err(Stranger::Closed { wire: Wire::Http, wires }),
        [_] | [_, b'A'..=b'Z'] => Ok(None),
        _ => Ok(Some(Wire::Uwsgi)),
    }
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
