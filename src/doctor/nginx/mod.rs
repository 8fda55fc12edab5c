//! nginx's configuration: read as nginx reads it, and held against what predictd asks for.

mod checks;
mod files;
mod group;
mod lexer;
mod passes;
mod tree;
pub mod units;

pub use checks::findings;
pub use files::Files;
pub use passes::{Endpoint, Module, Pass, passes};
pub use tree::{Directive, Place, ReadError, read};

/// The `user` directive, with the group if that is given.
#[must_use]
pub fn user(tree: &[Directive]) -> Option<(&str, Option<&str>)> {
    let directive = tree.iter().rfind(|directive| directive.name == "user")?;
    Some((directive.arg(0)?, directive.arg(1)))
}

/// The ports that it listens on.
#[must_use]
pub fn ports(tree: &[Directive]) -> Vec<u16> {
    let http = tree.iter().filter(|directive| directive.name == "http").flat_map(Directive::inside);
    let servers = http.filter(|directive| directive.name == "server");
    let listens = servers.map(|server| {
        let mut ports: Vec<u16> = server
            .inside()
            .iter()
            .filter(|directive| directive.name == "listen")
            .filter_map(|listen| port(listen.arg(0)?))
            .collect();
        // Without one it is 80, or 8000 without root's rights.
        if !server.inside().iter().any(|directive| directive.name == "listen") {
            ports.push(80);
        }
        ports
    });
    listens.flatten().collect()
}

fn port(listen: &str) -> Option<u16> {
    if listen.starts_with("unix:") {
        return None;
    }
    let last = listen.rsplit(':').next()?;
    Some(last.parse().unwrap_or(80))
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
