//! `predictd reload`: has a running server read its configuration and its models again, waits, and says what came of it.

use super::{
    CONFIG, INTERNAL, UNAVAILABLE,
    admin::{Admin, Server, Silence, spoken, text},
    progress::Progress,
};
use clap::Args;
use http::StatusCode;
use serde_json::Value;
use std::{
    io::Write,
    process::ExitCode,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

#[derive(Args, Debug)]
pub(super) struct Reload {
    #[command(flatten)]
    server: Server,
    /// Seconds to wait; the server goes on in any case
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

impl Reload {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let patience = Duration::from_secs(self.timeout);
        let admin = match self.server.find()? {
            Ok(admin) => admin,
            Err(silence) => return Ok(silence.report()),
        };
        match ask(&admin, patience) {
            Ok((status, body)) => Ok(report(status, &body)),
            Err(silence) => Ok(silence.report()),
        }
    }
}

/// Asks on a thread of its own, so that on a terminal it can be told meanwhile what the server is at.
fn ask(admin: &Admin, patience: Duration) -> Result<(StatusCode, Value), Silence> {
    const GLANCE: Duration = Duration::from_secs(1);
    let (sender, receiver) = mpsc::sync_channel(1);
    let asking = {
        let admin = admin.clone();
        thread::spawn(move || _ = sender.send(admin.ask("POST", "/reload", patience)))
    };
    let progress = Progress::for_stderr();
    let answer = loop {
        match receiver.recv_timeout(GLANCE) {
            Ok(answer) => break answer,
            Err(RecvTimeoutError::Timeout) if progress.is_seen() => glance(admin, progress),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => unreachable!("it sends before it ends"),
        }
    };
    let _ = asking.join();
    progress.clear();
    answer
}

/// Shows what the server is at, in place of what it was at before.
fn glance(admin: &Admin, progress: Progress) {
    if let Ok((StatusCode::OK, status)) = admin.ask("GET", "/status", Duration::from_secs(1)) {
        let loading = &status["loading"];
        let (model, since) = (text(loading, "model"), loading["for_s"].as_f64().unwrap_or_default());
        progress.show(&format!("{}: {model} ({})", text(loading, "operation"), spoken(since)));
    }
}

fn report(status: StatusCode, body: &Value) -> ExitCode {
    let mut out = std::io::stdout().lock();
    for model in body["models"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "{}", line(model));
    }
    for note in body["notes"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "note: {}", note.as_str().unwrap_or_default());
    }
    match status {
        StatusCode::OK => return ExitCode::SUCCESS,
        _ => eprintln!("predictd: {}", text(body, "error")),
    }
    match status {
        StatusCode::INTERNAL_SERVER_ERROR => CONFIG.into(),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => UNAVAILABLE.into(),
        _ => INTERNAL.into(),
    }
}

/// `loaded     digits                   version 1  (35 ms)`
fn line(model: &Value) -> String {
    let outcome = text(model, "outcome");
    let versions: Vec<&str> =
        model["versions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let plural = if versions.len() == 1 { "" } else { "s" };
    let list = format!("version{plural} {}", versions.join(", "));
    let said = match outcome {
        "failed" => {
            let version = model["failed_version"].as_str().map(|version| format!("version {version}: "));
            let kept = if versions.is_empty() { String::new() } else { format!("; {list} goes on") };
            format!("{}{}{kept}", version.unwrap_or_default(), text(model, "reason"))
        }
        "unloaded" => "by request; load it to have it back".to_owned(),
        "removed" => String::new(),
        "loaded" => format!("{list}  ({} ms)", model["took_ms"]),
        _ => list,
    };
    let outcome = if outcome == "failed" { "FAILED" } else { outcome };
    format!("{outcome:10} {:24} {said}", text(model, "name")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_outcome_is_a_line() {
        let check = |model: Value, expected: &str| assert_eq!(line(&model), expected);
        check(
            json!({"name": "m", "outcome": "loaded", "versions": ["1", "2"], "took_ms": 7}),
            "loaded     m                        versions 1, 2  (7 ms)",
        );
        check(
            json!({"name": "m", "outcome": "failed", "versions": ["1"], "failed_version": "2", "reason": "it is empty"}),
            "FAILED     m                        version 2: it is empty; version 1 goes on",
        );
        check(
            json!({"name": "m", "outcome": "failed", "versions": [], "failed_version": null, "reason": "it is empty"}),
            "FAILED     m                        it is empty",
        );
        check(json!({"name": "m", "outcome": "removed", "versions": []}), "removed    m");
    }
}
