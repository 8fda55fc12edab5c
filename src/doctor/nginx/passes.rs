//! Which locations pass requests on, to whom, and which value of a directive holds there.

use super::tree::{Directive, Place};
use crate::os::socket::Address;
use predictd_protocol::gateway::detect::Wire;
use std::{fmt, path::PathBuf};

/// By which module nginx passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// `uwsgi_pass`
    Uwsgi,
    /// `fastcgi_pass`
    FastCgi,
    /// `proxy_pass`
    Proxy,
    /// `scgi_pass`
    Scgi,
    /// `grpc_pass`
    Grpc,
    /// `proxy_pass` of `stream { }`, which passes bytes.
    Stream,
}

impl Module {
    const ALL: [Self; 5] = [Self::Uwsgi, Self::FastCgi, Self::Proxy, Self::Scgi, Self::Grpc];

    /// What its directives begin with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Uwsgi => "uwsgi",
            Self::FastCgi => "fastcgi",
            Self::Proxy | Self::Stream => "proxy",
            Self::Scgi => "scgi",
            Self::Grpc => "grpc",
        }
    }

    /// What it speaks, if that is anything of ours.
    #[must_use]
    pub const fn wire(self) -> Option<Wire> {
        match self {
            Self::Uwsgi => Some(Wire::Uwsgi),
            Self::FastCgi => Some(Wire::FastCgi),
            Self::Proxy => Some(Wire::Http),
            Self::Scgi | Self::Grpc | Self::Stream => None,
        }
    }
}

/// An address as nginx has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:/path`
    Unix(PathBuf),
    /// A name or number, and a port.
    Tcp(String, u16),
    /// With a variable in it: known only when a request comes.
    Variable(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Variable(text) => f.write_str(text),
        }
    }
}

impl Endpoint {
    /// Reads `unix:/path`, `host:port` or `host`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.contains('$') {
            return Self::Variable(text.to_owned());
        }
        if let Some(path) = text.strip_prefix("unix:") {
            // Where a URI may follow, a second colon ends the path.
            return Self::Unix(path.split(':').next().unwrap_or_default().into());
        }
        let port = |text: &str| text.parse::<u16>().ok();
        match text.rsplit_once(':') {
            Some((host, number))
                if port(number).is_some() && (!host.contains(':') || host.ends_with(']')) =>
            {
                Self::Tcp(host.to_owned(), port(number).unwrap_or_default())
            }
            _ => Self::Tcp(text.to_owned(), 80),
        }
    }

    /// Whether this leads to `address`.
    #[must_use]
    pub fn leads_to(&self, address: &Address) -> bool {
        match (self, address) {
            (Self::Unix(path), Address::Unix(other)) => plain(path) == plain(other),
            (Self::Tcp(host, port), Address::Tcp(other)) => {
                let ip = other.ip();
                let named = host.trim_start_matches('[').trim_end_matches(']');
                *port == other.port()
                    && (named == ip.to_string()
                        || named == "localhost" && (ip.is_loopback() || ip.is_unspecified())
                        || ip.is_unspecified())
            }
            _ => false,
        }
    }

    /// The address to call, where nginx and we would call the same.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        match self {
            Self::Unix(path) => Some(Address::Unix(plain(path))),
            Self::Tcp(host, port) => {
                let host = if host == "localhost" { "127.0.0.1" } else { host };
                format!("{host}:{port}").parse().ok().map(Address::Tcp)
            }
            Self::Variable(_) => None,
        }
    }
}

/// `/var/run` is `/run` on every system of today.
fn plain(path: &std::path::Path) -> PathBuf {
    path.strip_prefix("/var/run").map_or_else(|_| path.to_owned(), |rest| PathBuf::from("/run").join(rest))
}

/// The blocks around a directive, from `http` inwards.
#[derive(Clone, Debug, Default)]
pub struct Scope<'a>(Vec<&'a [Directive]>);

impl<'a> Scope<'a> {
    fn within(&self, block: &'a [Directive]) -> Self {
        let mut blocks = self.0.clone();
        blocks.push(block);
        Self(blocks)
    }

    /// All of that name in the innermost block that has any: an inner block hides what is outside.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&'a Directive> {
        let of = |block: &&'a [Directive]| -> Vec<&'a Directive> {
            block.iter().filter(|directive| directive.name == name).collect()
        };
        self.0.iter().rev().map(of).find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// The one that holds.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&'a Directive> {
        self.all(name).pop()
    }

    /// Whether it is switched on.
    #[must_use]
    pub fn on(&self, name: &str) -> Option<&'a Directive> {
        self.last(name).filter(|directive| directive.arg(0) == Some("on"))
    }

    /// All blocks that have it, not only the innermost.
    #[must_use]
    pub fn anywhere(&self, name: &str) -> Option<&'a Directive> {
        self.0.iter().flat_map(|block| block.iter()).find(|directive| directive.name == name)
    }
}

/// `upstream NAME { }`
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a>(&'a Directive);

impl<'a> Upstream<'a> {
    /// Where it is written.
    #[must_use]
    pub fn place(self) -> &'a Place {
        &self.0.place
    }

    /// `server` lines.
    pub fn servers(self) -> impl Iterator<Item = &'a Directive> {
        self.0.inside().iter().filter(|directive| directive.name == "server")
    }

    /// A directive of its block.
    #[must_use]
    pub fn directive(self, name: &str) -> Option<&'a Directive> {
        self.0.inside().iter().rfind(|directive| directive.name == name)
    }
}

/// A place that passes requests on.
#[derive(Clone, Debug)]
pub struct Pass<'a> {
    /// How.
    pub module: Module,
    /// `uwsgi_pass predictd;`
    pub directive: &'a Directive,
    /// Blocks around it.
    pub scope: Scope<'a>,
    /// The innermost location.
    pub location: Option<&'a Directive>,
    /// `https`, `suwsgi`, if it is given.
    pub scheme: Option<&'a str>,
    /// Whether a URI takes the location's place.
    pub has_uri: bool,
    /// Where to.
    pub endpoints: Vec<Endpoint>,
    /// The group of that name.
    pub upstream: Option<Upstream<'a>>,
}

impl Pass<'_> {
    /// Whether it leads to one of `addresses`.
    #[must_use]
    pub fn leads_to(&self, addresses: &[Address]) -> bool {
        self.endpoints.iter().any(|endpoint| addresses.iter().any(|address| endpoint.leads_to(address)))
    }

    /// The name of one of its module's directives.
    #[must_use]
    pub fn name(&self, rest: &str) -> String {
        format!("{}_{rest}", self.module.prefix())
    }

    /// The one of its module's directives that holds.
    #[must_use]
    pub fn own(&self, rest: &str) -> Option<&Directive> {
        self.scope.last(&self.name(rest))
    }
}

/// All of them, as they stand.
#[must_use]
pub fn passes(tree: &[Directive]) -> Vec<Pass<'_>> {
    let mut found = Vec::new();
    for root in tree.iter().filter(|root| ["http", "stream"].contains(&&*root.name)) {
        let upstreams: Vec<Upstream<'_>> =
            root.inside().iter().filter(|child| child.name == "upstream").map(Upstream).collect();
        let walk = Walk { stream: root.name == "stream", upstreams };
        walk.block(root.inside(), &Scope::default(), None, &mut found);
    }
    found
}

struct Walk<'a> {
    stream: bool,
    upstreams: Vec<Upstream<'a>>,
}

impl<'a> Walk<'a> {
    fn block(
        &self,
        block: &'a [Directive],
        outside: &Scope<'a>,
        location: Option<&'a Directive>,
        found: &mut Vec<Pass<'a>>,
    ) {
        let scope = outside.within(block);
        for directive in block {
            let module = Module::ALL
                .into_iter()
                .find(|module| directive.name.strip_prefix(module.prefix()) == Some("_pass"));
            if let (Some(module), Some(target)) = (module, directive.arg(0)) {
                let module = if self.stream { Module::Stream } else { module };
                found.push(self.pass(module, directive, target, scope.clone(), location));
            } else if directive.name != "upstream" && directive.block.is_some() {
                let inner = (directive.name == "location").then_some(directive).or(location);
                self.block(directive.inside(), &scope, inner, found);
            }
        }
    }

    fn pass(
        &self,
        module: Module,
        directive: &'a Directive,
        target: &'a str,
        scope: Scope<'a>,
        location: Option<&'a Directive>,
    ) -> Pass<'a> {
        let (scheme, rest) = match target.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, target),
        };
        let unix = rest.starts_with("unix:");
        // unix:/path:/uri, host:port/uri
        let (place, uri) = match rest.split_once(if unix { ":/" } else { "/" }) {
            Some((place, _)) if !unix => (place, true),
            Some((_, path)) if unix => match path.split_once(':') {
                Some((_, uri)) => (&rest[..rest.len() - uri.len() - 1], !uri.is_empty()),
                None => (rest, false),
            },
            _ => (rest, false),
        };
        let upstream = self.upstreams.iter().copied().find(|upstream| upstream.0.arg(0) == Some(place));
        let endpoints = match upstream {
            Some(upstream) => {
                upstream.servers().filter_map(|server| server.arg(0)).map(Endpoint::parse).collect()
            }
            None => vec![Endpoint::parse(place)],
        };
        Pass { module, directive, scope, location, scheme, has_uri: uri, endpoints, upstream }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{files::Files, tree},
        *,
    };
    use std::path::Path;

    fn tree(text: &str) -> Vec<Directive> {
        let files = Files::Dump([("/x".into(), text.to_owned())].into());
        tree::read(&files, Path::new("/x")).unwrap()
    }

    #[test]
    fn passes_are_found_with_whom_they_lead_to() {
        for (target, endpoints, uri) in [
            ("uwsgi_pass unix:/run/p.sock", "unix:/run/p.sock", false),
            ("uwsgi_pass p", "unix:/a 127.0.0.1:8090", false),
            ("proxy_pass http://p", "unix:/a 127.0.0.1:8090", false),
            ("proxy_pass http://p/", "unix:/a 127.0.0.1:8090", true),
            ("proxy_pass http://unix:/run/p.sock", "unix:/run/p.sock", false),
            ("proxy_pass http://unix:/run/p.sock:/v2/", "unix:/run/p.sock", true),
            ("proxy_pass http://localhost:8090/x", "localhost:8090", true),
            ("fastcgi_pass [::1]:9000", "[::1]:9000", false),
            ("proxy_pass http://example", "example:80", false),
            ("proxy_pass http://$where", "$where", false),
        ] {
            let tree = tree(&format!(
                "http {{ upstream p {{ server unix:/a; server 127.0.0.1:8090 backup; }} \
                 server {{ location / {{ if ($x) {{ {target}; }} }} }} }}"
            ));
            let found = passes(&tree);
            assert_eq!(found.len(), 1, "{target}");
            let shown: Vec<String> = found[0].endpoints.iter().map(ToString::to_string).collect();
            assert_eq!((shown.join(" "), found[0].has_uri), (endpoints.to_owned(), uri), "{target}");
            assert_eq!(found[0].location.and_then(|location| location.arg(0)), Some("/"));
        }
    }

    #[test]
    fn the_innermost_block_hides_what_is_outside() {
        let tree = tree(
            "http { uwsgi_param A 1; uwsgi_read_timeout 10s; server { uwsgi_param B 2; uwsgi_param C 3; \
             location / { uwsgi_pass x; } location /y { uwsgi_param D 4; uwsgi_pass x; } } }",
        );
        let found = passes(&tree);
        let params = |pass: &Pass<'_>| -> Vec<String> {
            pass.scope.all("uwsgi_param").iter().map(|directive| directive.args.join("=")).collect()
        };
        assert_eq!(params(&found[0]), ["B=2", "C=3"]);
        assert_eq!(params(&found[1]), ["D=4"]);
        assert_eq!(found[1].own("read_timeout").and_then(|directive| directive.arg(0)), Some("10s"));
    }

    #[test]
    fn addresses_are_the_same_however_they_are_written() {
        for (endpoint, address, same) in [
            ("unix:/var/run/p.sock", "unix:/run/p.sock", true),
            ("unix:/run/p.sock", "unix:/run/q.sock", false),
            ("localhost:8090", "127.0.0.1:8090", true),
            ("localhost:8090", "0.0.0.0:8090", true),
            ("192.0.2.1:8090", "0.0.0.0:8090", true),
            ("192.0.2.1:8090", "127.0.0.1:8090", false),
            ("[::1]:8090", "[::1]:8090", true),
            ("127.0.0.1:8091", "127.0.0.1:8090", false),
        ] {
            let leads = Endpoint::parse(endpoint).leads_to(&address.parse().unwrap());
            assert_eq!(leads, same, "{endpoint} {address}");
        }
    }
}
