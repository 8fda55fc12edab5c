//! What was measured, as a table for people or as JSON for programs.

use super::{Measured, wire::Answered};
use crate::{
    cli::{
        amounts,
        figures::rate,
        paint::{Ink, Paint},
    },
    doctor,
};
use predictd_protocol::inference::{spec::TensorSpec, tensor::Tensor};
use serde_json::{Value, json};
use std::fmt::Write;

/// All of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) version: u64,
    /// ONNX Runtime's name and version.
    pub(super) runtime: String,
    pub(super) providers: String,
    /// In words: how many, on which cores.
    pub(super) workers: String,
    pub(super) worker_count: usize,
    pub(super) cores: usize,
    pub(super) clients: usize,
    pub(super) seconds: f64,
    pub(super) inputs: Vec<Input>,
    pub(super) lines: Vec<Line>,
    /// By which signal it ended before all was measured.
    pub(super) ended_by: Option<&'static str>,
}

/// What was made up for an input of the model.
#[derive(Debug)]
pub(super) struct Input {
    spec: TensorSpec,
    /// Of the first run.
    shape: Vec<usize>,
}

/// What was measured with inputs of one size.
#[derive(Debug)]
pub(super) struct Line {
    /// `None` where the model has none.
    pub(super) rows: Option<usize>,
    pub(super) engine: Measured,
    pub(super) server: Answered,
}

impl Input {
    pub(super) fn new(spec: &TensorSpec, tensor: &Tensor) -> Self {
        Self { spec: spec.clone(), shape: tensor.shape().to_vec() }
    }

    /// `image FP32 [-1, 3, -1, -1], made up as [1, 3, 32, 32]`
    fn text(&self) -> String {
        let Self { spec, shape } = self;
        format!("{} {} {}, made up as {shape:?}", spec.name, spec.datatype, spec.dims())
    }

    fn json(&self) -> Value {
        let Self { spec, shape } = self;
        json!({ "name": spec.name, "datatype": spec.datatype.name(), "shape": shape })
    }
}

impl Line {
    /// Whether the server has answered nothing.
    pub(super) fn is_refused(&self) -> bool {
        self.server.failed > 0 && self.server.measured.per_second().is_none()
    }

    fn per_row(&self, per_second: f64) -> f64 {
        per_second * self.rows.unwrap_or(1) as f64
    }

    /// What is left of the engine's rate through the socket.
    fn ratio(&self) -> Option<f64> {
        let (engine, server) = (self.engine.per_second()?, self.server.measured.per_second()?);
        Some(server / engine)
    }

    fn cells(&self) -> [String; COLUMNS] {
        let none = || "-".to_owned();
        let per_second = |measured: &Measured| measured.per_second().map_or_else(none, rate);
        let time = |measured: &Measured, share| {
            amounts::time(measured.latencies.quantile(share).map(|time| time.as_secs_f64()))
        };
        let (engine, server) = (&self.engine, &self.server.measured);
        [
            self.rows.map_or_else(none, |rows| rows.to_string()),
            per_second(engine),
            engine.per_second().map_or_else(none, |runs| rate(self.per_row(runs))),
            time(engine, 0.5),
            time(engine, 0.99),
            per_second(server),
            time(server, 0.5),
            time(server, 0.99),
            self.server.rows_per_run.map_or_else(none, |rows| format!("{rows:.1}")),
            self.ratio().map_or_else(none, |ratio| format!("{ratio:.2}")),
        ]
    }

    fn json(&self) -> Value {
        let Self { rows, engine, server } = self;
        let side = |measured: &Measured, what: &str| {
            let time = |share| measured.latencies.quantile(share).map(|time| time.as_secs_f64());
            let per_second = measured.per_second();
            json!({
                what: measured.latencies.count(),
                format!("{what}_per_s"): per_second,
                "rows_per_s": per_second.filter(|_| rows.is_some()).map(|rate| self.per_row(rate)),
                "p50_s": time(0.5),
                "p99_s": time(0.99),
            })
        };
        let mut through = side(&server.measured, "requests");
        through["failed"] = server.failed.into();
        through["error"] = server.error.clone().into();
        through["rows_per_run"] = server.rows_per_run.into();
        json!({ "rows": rows, "engine": side(engine, "runs"), "server": through, "ratio": self.ratio() })
    }
}

/// `1 row`, `8 rows`
pub(super) fn counted(rows: usize) -> String {
    doctor::plural(rows, "row", "rows")
}

const COLUMNS: usize = 10;
const HEAD: [&str; COLUMNS] =
    ["rows", "runs/s", "rows/s", "p50", "p99", "req/s", "p50", "p99", "batch", "ratio"];
/// Of the columns, the first that is the server's.
const SERVER: usize = 5;

impl Report {
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} version {}, by {} on {}",
            self.model, self.version, self.runtime, self.providers
        );
        let mut about = |label: &str, text: &str| {
            let label = paint.text(Ink::Aside, format!("{label:8}"));
            let _ = writeln!(out, "{label}{text}");
        };
        for (at, input) in self.inputs.iter().enumerate() {
            about(if at == 0 { "input" } else { "" }, &input.text());
        }
        about("workers", &self.workers);
        let how = "by uwsgi: a connection for each request, tensors as bytes";
        about("clients", &format!("{} at a time, {how}", self.clients));
        let cores = if self.cores == 1 { "one core".into() } else { format!("{} cores", self.cores) };
        about("", &format!("on the same {cores} as the server; no nginx between, no access log"));
        out.push('\n');
        self.table(&mut out, paint);
        self.notes(&mut out, paint);
        out
    }

    fn table(&self, out: &mut String, paint: Paint) {
        let rows: Vec<[String; COLUMNS]> = self.lines.iter().map(Line::cells).collect();
        let head = HEAD.map(str::to_owned);
        let widths: [usize; COLUMNS] = std::array::from_fn(|at| {
            let cells = rows.iter().chain([&head]).map(|row| row[at].chars().count());
            // What follows is further away where the server's begin.
            cells.max().unwrap_or_default() + if at == SERVER { 3 } else { 2 } * usize::from(at > 0)
        });
        let line = |cells: &[String; COLUMNS]| -> String {
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect()
        };
        let engine = widths[1..SERVER].iter().sum::<usize>();
        let server = widths[SERVER..].iter().sum::<usize>();
        let title = format!(
            "{:1$}{2:>engine$}{3:>server$}",
            "", widths[0], "engine, in a bare loop", "server, through its socket"
        );
        let _ = writeln!(out, "{}\n{}", paint.text(Ink::Aside, title), paint.text(Ink::Aside, line(&head)));
        for row in &rows {
            let _ = writeln!(out, "{}", line(row));
        }
    }

    fn notes(&self, out: &mut String, paint: Paint) {
        out.push('\n');
        for text in [
            "batch: rows in a run of the server, which lets requests share runs",
            "ratio: of the engine's rate, what is left through the socket",
        ] {
            let _ = writeln!(out, "{}", paint.text(Ink::Aside, text));
        }
        if let Some(summary) = self.summary() {
            let _ = writeln!(out, "\n{summary}");
        }
        for Line { rows, server, .. } in &self.lines {
            if server.failed > 0 {
                let all = server.failed + server.measured.latencies.count();
                let of = rows.map_or(String::new(), |rows| format!(" of {}", counted(rows)));
                let said = server.error.as_deref().unwrap_or_default();
                let text = format!("{} of {all} requests{of} failed: {said}", server.failed);
                let _ = writeln!(out, "{}", paint.text(Ink::Bad, text));
            }
        }
        if let Some(signal) = self.ended_by {
            let text = format!("ended by {signal} before all was measured");
            let _ = writeln!(out, "{}", paint.text(Ink::Warn, text));
        }
    }

    /// The best of both.
    fn summary(&self) -> Option<String> {
        let best = |measured: fn(&Line) -> &Measured| {
            let rate = |line: &Line| measured(line).per_second().map(|rate| line.per_row(rate));
            let lines = self.lines.iter().filter_map(|line| Some((line.rows, rate(line)?)));
            lines.max_by(|(_, a), (_, b)| a.total_cmp(b))
        };
        let at = |rows: Option<usize>, what: &str| {
            rows.map_or(String::new(), |rows| format!(", {} a {what}", counted(rows)))
        };
        let (engine_rows, engine) = best(|line| &line.engine)?;
        let (server_rows, server) = best(|line| &line.server.measured)?;
        let what = if engine_rows.is_some() { "rows/s" } else { "runs/s" };
        let (engine_rate, server_rate) = (rate(engine), rate(server));
        let width = engine_rate.len().max(server_rate.len());
        Some(format!(
            "engine at best  {engine_rate:>width$} {what}{}\nserver at best  {server_rate:>width$} {what}{}: {:.0} %",
            at(engine_rows, "run"),
            at(server_rows, "request"),
            100.0 * server / engine,
        ))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "model": self.model,
            "version": self.version.to_string(),
            "onnxruntime": self.runtime,
            "providers": self.providers,
            "workers": self.worker_count,
            "layout": self.workers,
            "cores": self.cores,
            "clients": self.clients,
            "wire": "uwsgi",
            "seconds": self.seconds,
            "inputs": self.inputs.iter().map(Input::json).collect::<Vec<_>>(),
            "measured": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
            "ended_by": self.ended_by,
        })
    }
}
