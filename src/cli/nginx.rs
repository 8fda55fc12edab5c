//! `predictd nginx`: the configuration of nginx that fits this server's, made of the files that we ship.
//!
//! A shipped file is its body, and before that a comment with the blocks to put around it: both are used as they are, and
//! only values are put in.

use super::{CONFIG, Source, call::WireName};
use crate::{
    doctor::{
        asked::{Asked, bytes, seconds},
        nginx::units,
    },
    os::socket::Address,
};
use clap::Args;
use predictd_protocol::gateway::detect::Wire;
use std::{
    io::{Write, stdout},
    process::ExitCode,
};

#[derive(Args, Debug)]
pub(super) struct Nginx {
    #[command(flatten)]
    source: Source,
    /// By which protocol nginx is to talk; the first of `wires` if not given
    #[arg(long, value_enum)]
    wire: Option<WireName>,
}

impl Nginx {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let asked = Asked::of(&self.source.load()?);
        let wire = self.wire.map_or_else(|| asked.wire(), WireName::wire);
        if !asked.wires.contains(wire) {
            eprintln!("predictd: {wire} is not among `wires` of the configuration");
            return Ok(CONFIG.into());
        }
        let Some(address) = reachable(&asked.listen) else {
            let named = asked.unplaced().next();
            let given = named.map_or_else(
                || "give one: --listen unix:/path or 127.0.0.1:8090".to_owned(),
                |named| {
                    format!(
                        "where {named} is says ListenStream= of its .socket unit: --listen unix:/path of it"
                    )
                },
            );
            eprintln!("predictd: `listen` has no address that nginx can connect to; {given}");
            return Ok(CONFIG.into());
        };
        // Where nobody reads any more, there is nobody to tell.
        let _ = stdout().write_all(block(&asked, wire, &address).as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}

/// An address of nginx, and for a socket of systemd the name by which it stands in `listen`.
#[derive(Debug, PartialEq, Eq)]
struct Upstream {
    address: String,
    inherited: Option<String>,
}

/// The address to connect to: a Unix socket before TCP, and where our own unit has its socket if there is no other.
fn reachable(listen: &[Address]) -> Option<Upstream> {
    let known = |address: &Address| match address {
        Address::Tcp(to) if to.ip().is_unspecified() => Some(format!("127.0.0.1:{}", to.port())),
        Address::Unix(_) | Address::Tcp(_) => Some(address.to_string()),
        Address::Abstract(_) | Address::Inherited(_) => None,
    };
    let mut unix = listen.iter().filter(|address| matches!(address, Address::Unix(_)));
    let address = unix.find_map(known).or_else(|| listen.iter().find_map(known));
    let named = || listen.iter().find_map(|named| Some((named, shipped_socket(named)?)));
    address.map(|address| Upstream { address, inherited: None }).or_else(|| {
        let (named, address) = named()?;
        Some(Upstream { address: address.to_string(), inherited: Some(named.to_string()) })
    })
}

/// Where the unit that we ship has the socket that it hands over by this name.
pub(super) fn shipped_socket(named: &Address) -> Option<Address> {
    let value = |key: &str| {
        let mut lines = include_str!("../../nginx/predictd.socket").lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let Address::Inherited(name) = named else { return None };
    let path = value("ListenStream")?;
    (value("FileDescriptorName") == Some(name)).then(|| Address::Unix(path.into()))
}

fn shipped(wire: Wire) -> &'static str {
    match wire {
        Wire::Uwsgi => include_str!("../../nginx/uwsgi.conf"),
        Wire::FastCgi => include_str!("../../nginx/fastcgi.conf"),
        Wire::Http => include_str!("../../nginx/http.conf"),
    }
}

/// What stands before a line of configuration in the comment.
const COMMENTED: &str = "#     ";

/// The whole block, with this configuration's values.
fn block(asked: &Asked, wire: Wire, upstream: &Upstream) -> String {
    let (comment, body) =
        shipped(wire).split_once("\n\n").expect("a shipped file is a comment, then its body");
    let mut out = format!(
        "# For nginx's http {{ }} block: a file of its own, such as /etc/nginx/conf.d/predictd.conf.\n\
         # Made by `predictd nginx --wire {wire}` for a body of up to {} and deadlines of up to {}.\n",
        bytes(asked.body),
        seconds(asked.deadline.0)
    );
    if let Some(named) = &upstream.inherited {
        out.push_str(&format!(
            "# {named} is taken to be where predictd.socket has it; if ListenStream= of your unit is another: --listen ADDRESS.\n"
        ));
    }
    for line in comment.lines() {
        match line.strip_prefix(COMMENTED) {
            Some(code) if code.trim_start().starts_with("include predictd/") => {
                let indent = &code[..code.len() - code.trim_start().len()];
                for line in body.lines() {
                    out.push_str(if line.is_empty() { "" } else { indent });
                    out.push_str(line);
                    out.push('\n');
                }
            }
            Some(code) => {
                out.push_str(code);
                out.push('\n');
            }
            None if line == "#" => out.push('\n'),
            None => {}
        }
    }
    for (shipped, value) in values(asked, &upstream.address) {
        out = out.replace(shipped, &value);
    }
    // A comment's empty lines come in pairs.
    while out.contains("\n\n\n") {
        out = out.replace("\n\n\n", "\n\n");
    }
    out.trim_end().to_owned() + "\n"
}

/// What a shipped file says for the defaults, and what it says for this configuration.
fn values(asked: &Asked, address: &str) -> [(&'static str, String); 6] {
    let deadline = seconds(asked.deadline.0);
    [
        ("server unix:/run/predictd/predictd.sock;", format!("server {address};")),
        ("keepalive 128;", format!("keepalive {};", asked.concurrency().max(128))),
        (
            "client_max_body_size    64m;",
            format!("client_max_body_size    {};", units::write_size(asked.body)),
        ),
        ("client_max_body_size, 64 MiB", format!("client_max_body_size, {}", bytes(asked.body))),
        ("_read_timeout    60s;", format!("_read_timeout    {};", seconds(asked.read_timeout()))),
        (
            "(30s unless set)",
            if deadline == "30s" { "(30s unless set)".into() } else { format!("({deadline})") },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::nginx::{Directive, Files, read};
    use std::{path::Path, time::Duration};

    fn to(address: &str) -> Upstream {
        Upstream { address: address.into(), inherited: None }
    }

    /// Without comments and places: what is left for nginx.
    fn directives(text: &str) -> String {
        fn print(directives: &[Directive]) -> String {
            let one = |directive: &Directive| {
                let inside = directive.block.as_ref().map(|inside| format!("{{{}}}", print(inside)));
                format!("{} {:?}{};", directive.name, directive.args, inside.unwrap_or_default())
            };
            directives.iter().map(one).collect()
        }
        let params = ["/uwsgi_params", "/fastcgi_params"].map(|path| (path.into(), "of_nginx;".to_owned()));
        let files = Files::Dump([("/x".into(), text.to_owned())].into_iter().chain(params).collect());
        print(&read(&files, Path::new("/x")).unwrap())
    }

    #[test]
    fn with_the_defaults_the_block_is_the_shipped_file() {
        for wire in Wire::ALL {
            let asked = Asked::example();
            let block = block(&asked, wire, &to("unix:/run/predictd/predictd.sock"));
            let inside = directives(shipped(wire));
            let keepalive = if wire == Wire::Uwsgi { "" } else { "keepalive [\"128\"];" };
            let expected = format!(
                "upstream [\"predictd\"]{{server [\"unix:/run/predictd/predictd.sock\"];{keepalive}}};\
                 server []{{listen [\"80\"];{inside}}};"
            );
            assert_eq!(directives(&block), expected, "{block}");
        }
    }

    #[test]
    fn every_value_has_its_place_in_every_file() {
        for wire in Wire::ALL {
            let asked = Asked {
                body: 100 << 10,
                deadline: (Duration::from_secs(120), Some("big".into())),
                workers: 64,
                ..Asked::example()
            };
            let block = block(&asked, wire, &to("127.0.0.1:8090"));
            for part in [
                "server 127.0.0.1:8090;",
                "client_max_body_size    100k;",
                "client_max_body_size, 100 KiB",
                "_read_timeout    150s;",
                "_send_timeout    60s;",
                "(120s)",
            ] {
                assert!(block.contains(part), "{part} is not in {block}");
            }
            assert_eq!(block.contains("keepalive 512;"), wire != Wire::Uwsgi);
            for (shipped_value, _) in values(&asked, "x") {
                let of_kept = shipped_value.starts_with("keepalive");
                assert_eq!(
                    shipped(wire).contains(shipped_value),
                    !of_kept || wire != Wire::Uwsgi,
                    "{shipped_value}"
                );
            }
        }
    }

    #[test]
    fn a_unix_socket_goes_before_tcp_and_what_nginx_cannot_reach_is_left_out() {
        for (listen, expected) in [
            (&["127.0.0.1:1", "unix:/s"][..], Some("unix:/s")),
            (&["unix:@a", "0.0.0.0:1"], Some("127.0.0.1:1")),
            (&["[::1]:1"], Some("[::1]:1")),
            (&["unix:@a", "fd:web"], None),
            (&["fd:predictd", "127.0.0.1:1"], Some("127.0.0.1:1")),
        ] {
            let listen: Vec<Address> = listen.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(reachable(&listen), expected.map(to), "{listen:?}");
        }
    }

    #[test]
    fn a_socket_of_systemd_is_where_the_shipped_unit_has_it_and_the_block_says_so() {
        let listen = ["fd:web".parse().unwrap(), "fd:predictd".parse().unwrap()];
        let upstream = reachable(&listen).unwrap();
        assert_eq!(upstream.address, "unix:/run/predictd.sock");
        let block = block(&Asked::example(), Wire::Uwsgi, &upstream);
        assert!(block.contains("\n# fd:predictd is taken to be where predictd.socket has it;"), "{block}");
        assert!(block.contains("server unix:/run/predictd.sock;"), "{block}");
        assert_eq!(shipped_socket(&listen[0]), None);
    }
}
