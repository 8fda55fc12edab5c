//! `predictd status`: how a running server stands.

use super::{
    INTERNAL,
    admin::{Server, spoken, text},
};
use clap::Args;
use http::StatusCode;
use serde_json::Value;
use std::{fmt::Write, process::ExitCode, time::Duration};

#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    server: Server,
    /// Print what the server says, as JSON
    #[arg(long)]
    json: bool,
}

/// How long a server may take that has its hands full.
const PATIENCE: Duration = Duration::from_secs(10);

impl Status {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let asked = self.server.find()?.and_then(|admin| admin.ask("GET", "/status", PATIENCE));
        match asked {
            Ok((StatusCode::OK, status)) if self.json => println!("{status:#}"),
            Ok((StatusCode::OK, status)) => print!("{}", page(&status)),
            Ok((_, error)) => {
                eprintln!("predictd: {}", text(&error, "error"));
                return Ok(INTERNAL.into());
            }
            Err(silence) => return Ok(silence.report()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn page(status: &Value) -> String {
    let time = |value: &Value, member: &str| spoken(value[member].as_f64().unwrap_or_default());
    let ready = if status["ready"] == true { "ready" } else { "NOT READY" };
    let mut page = format!(
        "predictd {}, process {}, {} for {}, {ready}\n",
        text(status, "version"),
        status["pid"],
        text(status, "phase"),
        time(status, "uptime_s"),
    );
    let loading = &status["loading"];
    if !loading.is_null() {
        let model = loading["model"].as_str().map_or_else(String::new, |model| format!(", model '{model}'"));
        let _ = writeln!(
            page,
            "under way: {}{model}, for {}",
            text(loading, "operation"),
            time(loading, "for_s")
        );
    }
    for alarm in status["alarms"].as_array().into_iter().flatten() {
        // The table says so too, with the reason.
        if matches!(alarm["kind"].as_str(), Some("closed" | "unavailable")) {
            continue;
        }
        let _ = writeln!(page, "ALARM, for {}: {}", time(alarm, "for_s"), text(alarm, "text"));
    }
    let rows: Vec<[String; 6]> = status["models"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|model| {
            let version = model["version"].as_str().unwrap_or("-").to_owned();
            let queue = model["queue_rows"].to_string();
            let cell = |member| text(model, member).to_owned();
            [cell("name"), version, cell("state"), time(model, "for_s"), queue, cell("reason")]
        })
        .collect();
    let head = ["MODEL", "VERSION", "STATE", "FOR", "QUEUE", ""].map(str::to_owned);
    table(&mut page, [head].iter().chain(&rows));
    page
}

/// Columns as wide as they need to be, two spaces between.
fn table<'a>(page: &mut String, rows: impl Iterator<Item = &'a [String; 6]> + Clone) {
    let width = |column: usize| rows.clone().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(page, "{}", cells.join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_has_a_line_for_each_version() {
        let status = json!({
            "version": "0.1.0", "pid": 7, "phase": "ready", "ready": false, "uptime_s": 3700.0,
            "loading": {"operation": "reload", "model": "a", "for_s": 1.5},
            "alarms": [{"kind": "unavailable", "text": "model a: no", "for_s": 1.0}, {"kind": "slow", "text": "a run of m/1 on worker 1 is slow", "for_s": 12.0}],
            "models": [
                {"name": "digits", "version": "12", "state": "ready", "for_s": 12.0, "queue_rows": 3, "reason": null},
                {"name": "a", "version": null, "state": "unavailable", "for_s": 1.0, "queue_rows": 0, "reason": "no"},
            ],
        });
        let expected = "predictd 0.1.0, process 7, ready for 1 h 1 min, NOT READY
under way: reload, model 'a', for 1.5 s
ALARM, for 12 s: a run of m/1 on worker 1 is slow
MODEL   VERSION  STATE        FOR    QUEUE
digits  12       ready        12 s   3
a       -        unavailable  1.0 s  0      no
";
        assert_eq!(page(&status), expected);
    }
}
