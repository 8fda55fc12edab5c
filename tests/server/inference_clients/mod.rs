//! Real clients of the inference protocols, by every way to predictd: NVIDIA's tritonclient and perf_analyzer, and
//! plain HTTP for the others. What they ask and expect is in tests/clients/; here is whom they talk to.

#[cfg(target_arch = "x86_64")]
mod perf_analyzer;
mod tritonclient;
mod v1;

use crate::harness::{Nginx, PATIENCE, Pass, Server, free_port, source, tool};
use std::{path::Path, process::Command};

/// A way to predictd.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Its own HTTP on TCP.
    Direct,
    /// An nginx that passes so.
    By(Pass),
}

/// A predictd with the models of /models and of the tests, and a way there.
struct Reachable {
    /// Host and port.
    address: String,
    _nginx: Option<Nginx>,
    server: Server,
}

impl Reachable {
    fn start(way: Way) -> Self {
        Self::with(way, |_| {})
    }

    /// The same with more arguments for predictd.
    fn with(way: Way, more: impl FnOnce(&mut Command)) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let server = Server::with_arguments("", |command| {
            command.args(["--listen", &address]);
            more(command);
        });
        match way {
            Way::Direct => Self { address, _nginx: None, server },
            Way::By(pass) => {
                // As a site may have it for everything else.
                let nginx = Nginx::with(&server, pass, "gzip on; gzip_types *; gzip_min_length 1;");
                let address = authority(&nginx).to_owned();
                Self { address, _nginx: Some(nginx), server }
            }
        }
    }
}

fn authority(nginx: &Nginx) -> &str {
    nginx.url.strip_prefix("http://").unwrap()
}

/// Runs a client to its end, which must be a good one, and gives all that it says.
#[track_caller]
fn run(program: &Path, arguments: &[&str]) -> String {
    let patience = (4 * PATIENCE.as_secs()).to_string();
    let output = Command::new("timeout").arg(patience).arg(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}\n{said}", output.status);
    said.into_owned()
}

/// Runs a script of tests/clients.
#[track_caller]
fn run_script(name: &str, arguments: &[&str]) -> String {
    let script = source("tests/clients").join(name);
    // No __pycache__ in the source.
    run(&tool("python"), &[&["-B", script.to_str().unwrap()], arguments].concat())
}
