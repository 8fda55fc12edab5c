//! `predictd status`: how a running server stands.

use super::{
    INTERNAL,
    admin::{Server, spoken, text},
    findings::{Screen, wrap},
    paint::{Ink, Paint},
};
use clap::Args;
use http::StatusCode;
use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{Write as _, stdout},
    process::ExitCode,
    time::Duration,
};

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
        let said = match asked {
            Ok((StatusCode::OK, status)) if self.json => format!("{status:#}\n"),
            Ok((StatusCode::OK, status)) => page(&status, Screen::of_terminal()),
            Ok((_, error)) => {
                eprintln!("predictd: {}", text(&error, "error"));
                return Ok(INTERNAL.into());
            }
            Err(silence) => return Ok(silence.report()),
        };
        // Where nobody reads any more, as behind `head`, there is nobody to tell.
        let _ = stdout().write_all(said.as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}

fn page(status: &Value, screen: Screen) -> String {
    let time = |value: &Value, member: &str| spoken(value[member].as_f64().unwrap_or_default());
    let mut page = format!(
        "predictd {}, process {}, up {}: {}\n",
        text(status, "version"),
        status["pid"],
        time(status, "uptime_s"),
        standing(status, screen.paint),
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
        let said = format!("ALARM, for {}: {}", time(alarm, "for_s"), text(alarm, "text"));
        for line in wrap(&said, screen.columns) {
            let _ = writeln!(page, "{}", screen.paint.text(Ink::Bad, line));
        }
    }
    let models: Vec<&Value> = status["models"].as_array().into_iter().flatten().collect();
    let row = |model: &&Value| {
        let version = model["version"].as_str().unwrap_or("-").to_owned();
        let cell = |member| text(model, member).to_owned();
        [cell("name"), version, cell("state"), time(model, "for_s"), model["queue_rows"].to_string()]
    };
    let rows: Vec<[String; 5]> = models.iter().map(row).collect();
    let head = ["MODEL", "VERSION", "STATE", "FOR", "QUEUE"].map(str::to_owned);
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    });
    let aligned = |row: &[String; 5]| -> [String; 5] {
        std::array::from_fn(|column| format!("{:1$}", row[column], widths[column]))
    };
    let line = |cells: [String; 5]| cells.join("  ").trim_end().to_owned();
    let _ = writeln!(page, "{}", screen.paint.text(Ink::Aside, line(aligned(&head))));
    for (model, row) in models.iter().zip(&rows) {
        let mut cells = aligned(row);
        if let Some(ink) = ink(text(model, "state")) {
            cells[STATE] = screen.paint.text(ink, &cells[STATE]);
        }
        let _ = writeln!(page, "{}", line(cells));
        for line in wrap(text(model, "reason"), screen.columns - INDENT) {
            if !line.is_empty() {
                let _ = writeln!(page, "{:INDENT$}{line}", "");
            }
        }
    }
    page
}

/// The column that shows how a model stands.
const STATE: usize = 2;
/// Of what is said below a model.
const INDENT: usize = 4;

/// The phase, and whether front ends are told to send requests.
fn standing(status: &Value, paint: Paint) -> String {
    let phase = text(status, "phase");
    match (status["ready"] == true, phase) {
        (true, _) => paint.text(Ink::Good, phase),
        (false, "ready") => format!("{}, a model is lacking", paint.text(Ink::Bad, "NOT READY")),
        (false, _) => format!("{phase}, {}", paint.text(Ink::Bad, "NOT READY")),
    }
}

fn ink(state: &str) -> Option<Ink> {
    match state {
        "closed" | "unavailable" => Some(Ink::Bad),
        "loading" | "unloading" => Some(Ink::Warn),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_has_a_line_for_each_version_and_what_is_wrong_with_it_below() {
        let long = "it is closed: worker 2 is stuck in a run of it, which did not end when told to";
        let status = json!({
            "version": "0.1.0", "pid": 7, "phase": "ready", "ready": false, "uptime_s": 3700.0,
            "loading": {"operation": "reload", "model": "a", "for_s": 1.5},
            "alarms": [
                {"kind": "unavailable", "text": "model a: no", "for_s": 1.0},
                {"kind": "slow", "text": "a run of m/1 on worker 1 is slow", "for_s": 12.0},
            ],
            "models": [
                {"name": "digits", "version": "12", "state": "ready", "for_s": 12.0, "queue_rows": 3, "reason": null},
                {"name": "m", "version": "1", "state": "closed", "for_s": 61.0, "queue_rows": 0, "reason": long},
                {"name": "a", "version": null, "state": "unavailable", "for_s": 1.0, "queue_rows": 0, "reason": "no"},
            ],
        });
        let expected = "predictd 0.1.0, process 7, up 1 h 1 min: NOT READY, a model is lacking
under way: reload, model 'a', for 1.5 s
ALARM, for 12 s: a run of m/1 on worker 1 is slow
MODEL   VERSION  STATE        FOR        QUEUE
digits  12       ready        12 s       3
m       1        closed       1 min 1 s  0
    it is closed: worker 2 is stuck in a run of it, which did not end when told
    to
a       -        unavailable  1.0 s      0
    no
";
        assert_eq!(page(&status, Screen { paint: Paint::plain(), columns: 80 }), expected);
        for (phase, ready, says) in [("ready", true, ": ready"), ("draining", false, ": draining, NOT READY")]
        {
            let status = json!({ "phase": phase, "ready": ready });
            let page = page(&status, Screen { paint: Paint::plain(), columns: 80 });
            assert!(page.lines().next().unwrap().ends_with(says), "{page}");
        }
    }
}
