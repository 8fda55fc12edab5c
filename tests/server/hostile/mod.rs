//! Bodies that mean harm: each gets a 400 at once, with a text that says what is wrong, in a few bytes whatever
//! came; nothing is allocated by what a request claims, and the server lives on.

mod binary;
mod json;
mod large;
mod numbers;

use crate::harness::Server;
use std::time::{Duration, Instant};

/// A request, and what its 400 must say.
struct Case {
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    says: Vec<String>,
}

impl Case {
    /// JSON that is not taken.
    fn json(target: impl Into<String>, body: impl AsRef<[u8]>, says: &[&str]) -> Self {
        let headers = vec![("Content-Type", "application/json".into())];
        Self::new(target, headers, body, says)
    }

    /// Tensors behind JSON of `length` bytes that are not taken.
    fn binary(target: &str, length: impl ToString, body: impl AsRef<[u8]>, says: &[&str]) -> Self {
        Self::new(target, vec![("Inference-Header-Content-Length", length.to_string())], body, says)
    }

    /// The bytes of one tensor that are not taken.
    fn raw(target: &str, body: impl AsRef<[u8]>, says: &[&str]) -> Self {
        Self::new(target, vec![("Content-Type", "application/octet-stream".into())], body, says)
    }

    fn new(
        target: impl Into<String>,
        headers: Vec<(&'static str, String)>,
        body: impl AsRef<[u8]>,
        says: &[&str],
    ) -> Self {
        let (target, body) = (target.into(), body.as_ref().to_vec());
        Self { target, headers, body, says: says.iter().map(ToString::to_string).collect() }
    }

    /// What there is to see of it where it fails.
    fn shown(&self) -> String {
        let body = &self.body[..self.body.len().min(200)];
        format!("{} {:?} {}", &self.target[..self.target.len().min(100)], self.headers, body.escape_ascii())
    }
}

/// An error's text may be so long, whatever it is about.
const TEXT: usize = 1024;

/// Bodies up to this one are small: what is wrong with them is told within 10 ms.
const SMALL: usize = 256 * 1024;

/// Asks, and says what is wrong with status, text, length or time of the answer.
fn trouble(server: &Server, case: &Case) -> Option<String> {
    let headers: Vec<_> = case.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let allowed = Duration::from_millis(if std::env::var_os("CI").is_some() { 50 } else { 10 });
    // On a machine that others use too, any one try may be slow.
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let reply = server.ask("POST", &case.target, &headers, &case.body);
        fastest = fastest.min(begun.elapsed());
        if reply.status != 400 {
            let body = String::from_utf8_lossy(&reply.body[..reply.body.len().min(TEXT)]).into_owned();
            return Some(format!("{} is no 400: {body}", reply.status));
        }
        let error = reply.error(400);
        if error.len() > TEXT {
            return Some(format!("{} bytes of error: {error:.TEXT$}", error.len()));
        }
        if let Some(part) = case.says.iter().find(|part| !error.contains(&***part)) {
            return Some(format!("`{error}` says nothing of `{part}`"));
        }
        if case.body.len() > SMALL || fastest <= allowed {
            return None;
        }
    }
    Some(format!("it took {fastest:?}"))
}

/// All of the `cases`, during which the server may take no more than `growth` bytes that it had not before.
#[track_caller]
fn check_all(cases: &[Case], growth: usize) {
    let server = Server::start();
    // Once around, so that what is made at the first use is there.
    lives(&server);
    let before = server.peak();
    check(&server, cases);
    let grown = server.peak() - before;
    assert!(grown <= growth, "{grown} bytes more than the {before} before");
    lives(&server);
}

/// All of the `cases`, and all that is wrong with them.
#[track_caller]
fn check(server: &Server, cases: &[Case]) {
    let found: Vec<_> = cases
        .iter()
        .filter_map(|case| Some(format!("{}\n    {}", case.shown(), trouble(server, case)?)))
        .collect();
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), cases.len(), found.join("\n"));
}

#[track_caller]
fn lives(server: &Server) {
    let answer = server.post("/predict/iris", "[[5.1, 3.5, 1.4, 0.2]]").ok();
    assert_eq!(answer["results"][0]["classes"][0]["label"], "setosa");
}

/// An input of a v2 request.
fn input(name: &str, datatype: &str, shape: &str, rest: &str) -> String {
    format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape},{rest}}}"#)
}

/// A v2 request of these inputs.
fn request(inputs: &[String]) -> String {
    format!(r#"{{"inputs":[{}]}}"#, inputs.join(","))
}
