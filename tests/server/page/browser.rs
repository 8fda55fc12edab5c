//! A browser without a screen: Chromium, told what to do over HTTP by chromedriver, as the WebDriver specification has it.

use crate::{
    deployment::patient,
    harness::{Process, Reply, eventually, free_port, program},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

/// A window with one page, closed on drop.
pub(crate) struct Browser {
    session: String,
    driver: Driver,
    _profile: tempfile::TempDir,
}

/// chromedriver, and whatever it has started.
struct Driver {
    port: u16,
    _process: Process,
}

/// It opens nothing of itself, and asks nobody but who it is told to.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--window-size=1280,1000",
];

impl Browser {
    pub(crate) fn open(url: &str) -> Self {
        let (driver, profile) = (Driver::start(), tempfile::tempdir().unwrap());
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        let flags: Vec<&str> = FLAGS.iter().copied().chain([&*profile_flag]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags, "binary": program("chromium")},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = call(driver.port, "POST", "/session", &wanted);
        let session = session["sessionId"].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        let browser = Self { session, driver, _profile: profile };
        browser.post("url", &json!({ "url": url }));
        browser
    }

    /// What a script of the page's gives.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// The text of all that `css` selects, as it is shown, a line for each.
    pub(crate) fn text(&self, css: &str) -> String {
        let script = format!(
            "return [...document.querySelectorAll({})].map((it) => it.checkVisibility() ? it.innerText : '').join('\\n')",
            json!(css)
        );
        self.run(&script).as_str().unwrap().to_owned()
    }

    /// Waits until the text there contains `wanted`.
    #[track_caller]
    pub(crate) fn wait_for(&self, css: &str, wanted: &str) {
        eventually(&format!("'{wanted}' at {css}"), || self.text(css).contains(wanted));
    }

    /// Clicks, as somebody with a mouse.
    pub(crate) fn click(&self, css: &str) {
        self.at(css, "click", &json!({}));
    }

    /// Types; for a choice of files, a path.
    pub(crate) fn keys(&self, css: &str, text: &str) {
        self.at(css, "value", &json!({ "text": text }));
    }

    /// Chooses a file.
    pub(crate) fn file(&self, css: &str, path: &Path) {
        self.keys(css, path.to_str().unwrap());
    }

    /// Empties a field.
    pub(crate) fn clear(&self, css: &str) {
        self.at(css, "clear", &json!({}));
    }

    /// What the console has had since it was asked last: the page's errors, violations of its policy, and requests that failed.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({"type": "browser"}));
        let line = |entry: &Value| format!("{} {}", entry["source"], entry["message"]);
        entries.as_array().unwrap().iter().map(line).collect()
    }

    fn at(&self, css: &str, action: &str, body: &Value) {
        let found = self.post("element", &json!({"using": "css selector", "value": css}));
        let element = found.as_object().unwrap().values().next().unwrap().as_str().unwrap();
        self.post(&format!("element/{element}/{action}"), body);
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        call(self.driver.port, "POST", &format!("/session/{}/{command}", self.session), body)
    }
}

impl Driver {
    fn start() -> Self {
        let port = free_port();
        let mut command = Command::new(program("chromedriver"));
        command.arg(format!("--port={port}")).stdin(Stdio::null());
        let mut process = Process::start(command);
        process.wait_until_it_listens(port);
        Self { port, _process: process }
    }
}

impl Drop for Driver {
    /// Where it was killed, its browsers would go on.
    fn drop(&mut self) {
        let _ = ask(self.port, "GET", "/shutdown", &Value::Null);
    }
}

#[track_caller]
fn call(port: u16, method: &str, target: &str, body: &Value) -> Value {
    let reply = ask(port, method, target, body).unwrap();
    assert_eq!(reply.status, 200, "{target} {body}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()["value"].take()
}

/// One request on a connection of its own, which chromedriver leaves open.
fn ask(port: u16, method: &str, target: &str, body: &Value) -> std::io::Result<Reply> {
    let mut stream = BufReader::new(patient(TcpStream::connect(("127.0.0.1", port))?));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut answer)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    let mut reply = Reply::read(&answer);
    // chromedriver writes no space behind the colon.
    let head = String::from_utf8(answer).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
    reply.body.resize(length.trim().parse().unwrap(), 0);
    stream.read_exact(&mut reply.body)?;
    Ok(reply)
}
