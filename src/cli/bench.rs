//! `predictd bench`: how fast a model runs by itself on all workers, and what is left of that through the server's socket.

mod bare;
mod latencies;
mod report;
mod subject;
mod threads;
mod wire;

use super::{CONFIG, INTERNAL, ModelSource, paint::Paint, progress::Progress};
use crate::{
    config::{Config, Overrides},
    os::{
        cpus::{self, CpuId},
        signals::Signal,
    },
    server::{self, Live},
    serving::Served,
    telemetry::phase::{Life, Phase},
};
use bare::Bare;
use clap::Args;
use latencies::Latencies;
use predictd_protocol::gateway::detect::{Wire, Wires};
use report::{Input, Line, Report};
use std::{
    fs,
    io::{Write, stdout},
    iter::Sum,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};
use subject::Subject;
use threads::Stop;
use wire::{Answered, Server};

const HELP: &str = "\
The engine: the model is run in a bare loop on every worker's place at once. The server: all of it in this process, on a \
private Unix socket, asked by uwsgi as nginx would, with the same inputs. Both with 1, 2, 4 ... batch.max_rows rows. Inputs \
are made up. Ctrl-C ends it with what was measured so far (exit code 130).";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct Bench {
    /// A model of the configuration by its name, or a path: an .onnx file or a model's folder
    #[arg(value_name = "MODEL")]
    subject: String,
    #[command(flatten)]
    source: ModelSource,
    /// Clients that ask at a time [default: 2 for each worker]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: Option<u16>,
    /// Seconds that each figure is measured for
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: f64,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What a run may take, though the model's deadline may be shorter: the first are slow.
const FIRST_RUN: Duration = Duration::from_secs(30);

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number".to_owned())?;
    if (0.01..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("from 0.01 to 3600".into()) }
}

/// Things that were done one after the other, by several at once.
#[derive(Debug, Default)]
struct Measured {
    latencies: Latencies,
    per_second: f64,
}

impl Measured {
    /// What one has done in `time`.
    fn new(latencies: Latencies, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        let per_second = if seconds > 0.0 { latencies.count() as f64 / seconds } else { 0.0 };
        Self { latencies, per_second }
    }

    /// Together with what another has done meanwhile.
    fn with(mut self, other: Self) -> Self {
        self.latencies.add(&other.latencies);
        self.per_second += other.per_second;
        self
    }

    /// `None` where nothing was done.
    fn per_second(&self) -> Option<f64> {
        (self.latencies.count() > 0).then_some(self.per_second)
    }
}

impl Sum for Measured {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::with)
    }
}

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.clone().load(Overrides::default())?;
        for note in &config.notes {
            eprintln!("warning: {note}");
        }
        let subject = match Subject::find(&self.subject, &config) {
            Ok(subject) => subject,
            Err(error) => {
                eprintln!("predictd: {error}");
                return Ok(CONFIG.into());
            }
        };
        warn_if_busy();
        let progress = Progress::for_stderr();
        progress.show(&format!("loading {}", subject.name));
        let done = self.serve_and_measure(&subject, config, progress);
        progress.clear();
        match done {
            Ok((code, true)) => Ok(code.into()),
            Ok((code, false)) => super::leave(code),
            Err(error) => super::leave(super::fail(&error)),
        }
    }

    /// The exit code, and whether all threads have ended.
    fn serve_and_measure(
        &self,
        subject: &Subject,
        config: Config,
        progress: Progress,
    ) -> anyhow::Result<(u8, bool)> {
        let config = Arc::new(alone(config, subject));
        let prepared = server::prepare(Arc::clone(&config))?;
        let runtime = prepared.setup.runtime.clone();
        for provider in runtime.passed_over() {
            progress.clear();
            eprintln!("warning: {provider}");
        }
        let (places, workers) = (prepared.places().to_vec(), prepared.workers());
        let live = Live::of(Arc::clone(&config), None)?;
        let life = Life::begin(Phase::Ready, Box::new(|_, _| {}));
        let app = prepared.start(&live, life.clone(), Box::new(move || Ok(Config::clone(&config))))?;
        let served = app.models.find(subject.name.as_str(), None)?;
        let stop = Stop::default();
        let mut report = Report {
            model: served.name.to_string(),
            version: served.version,
            runtime: runtime.version().to_string(),
            providers: runtime.providers().to_string(),
            workers,
            worker_count: places.len(),
            cores: cpus::allowed()?.len(),
            clients: self.clients.map_or(2 * places.len(), usize::from),
            seconds: self.seconds,
            inputs: Vec::new(),
            lines: Vec::new(),
            ended_by: None,
        };
        let server = Server::start(&live, &life, &app, &stop)?;
        let bench = Measuring { served: &served, places: &places, server: &server, stop: &stop, progress };
        let failure = bench.measure(&mut report, Duration::from_secs_f64(self.seconds)).err();
        report.ended_by = stop.said().map(Signal::name);
        progress.clear();
        if !report.lines.is_empty() {
            let text =
                if self.json { format!("{:#}\n", report.json()) } else { report.text(Paint::for_stdout()) };
            // Where nobody reads any more, there is nobody to tell.
            let _ = stdout().write_all(text.as_bytes());
        }
        let code = match (stop.said(), &failure) {
            (Some(signal), _) => {
                if report.lines.is_empty() {
                    eprintln!("predictd: ended by {} before anything was measured", signal.name());
                }
                signal.exit_code()
            }
            (None, Some(error)) => {
                eprintln!("predictd: model '{}': {error:#}", served.name);
                INTERNAL
            }
            (None, None) if report.lines.iter().any(Line::is_refused) => INTERNAL,
            (None, None) => 0,
        };
        Ok((code, server.end()))
    }
}

/// The configuration of a server that has this model and no other.
fn alone(mut config: Config, subject: &Subject) -> Config {
    config.extra_models = vec![(subject.name.to_string(), subject.path.clone())];
    // No folder has this name.
    config.models = PathBuf::new();
    config.strict_models = true;
    // By which it is asked, whatever it is to speak in service.
    config.limits.wires = Wires::from_iter([Wire::Uwsgi]);
    config
}

/// Whoever else runs here takes from both sides, and not the same.
fn warn_if_busy() {
    let load = fs::read_to_string("/proc/loadavg").ok();
    let load = load.as_deref().and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if let Some(load) = load.filter(|load| *load > cores as f64 / 4.0) {
        eprintln!("warning: the machine is busy (load {load} on {cores} cores): figures are worth little");
    }
}

/// What it takes to measure.
struct Measuring<'a> {
    served: &'a Served,
    places: &'a [Vec<CpuId>],
    server: &'a Server,
    stop: &'a Stop,
    progress: Progress,
}

impl Measuring<'_> {
    /// Adds a line to the report for each size, until the word to stop.
    fn measure(&self, report: &mut Report, length: Duration) -> anyhow::Result<()> {
        let Self { served, places, server, stop, .. } = *self;
        let engine = Arc::clone(&served.engine);
        let bare = Bare { engine, places, patience: served.deadline.max(FIRST_RUN), stop };
        let sizes = sizes(served.batching.has_rows, served.batching.max_rows);
        let figures = 2 * sizes.len();
        for (at, rows) in sizes.into_iter().enumerate() {
            let watch = |what, figure| {
                let of = rows.map_or(String::new(), |rows| format!(", {}", report::counted(rows)));
                let head = format!("{figure} of {figures}: {what}{of}");
                move |been: Duration| self.progress.show(&format!("{head}, {:.1} s", been.as_secs_f64()))
            };
            let Some(inputs) = bare.inputs(rows.unwrap_or(1))? else { break };
            if report.inputs.is_empty() {
                let specs = &served.engine.signature().inputs;
                report.inputs =
                    specs.iter().zip(&inputs).map(|(spec, tensor)| Input::new(spec, tensor)).collect();
            }
            let engine = bare.measure(&inputs, length, watch("engine", 2 * at + 1))?;
            let mut line = Line { rows, engine, server: Answered::default() };
            if stop.said().is_none() {
                let watch = watch("server", 2 * at + 2);
                line.server = server.measure(served, &inputs, report.clients, length, stop, watch)?;
            }
            if line.engine.per_second().is_some() {
                report.lines.push(line);
            }
            if stop.said().is_some() {
                break;
            }
        }
        Ok(())
    }
}

/// 1, 2, 4 ... rows, as far as runs are made; `None` where there are no rows.
fn sizes(has_rows: bool, max_rows: usize) -> Vec<Option<usize>> {
    if !has_rows {
        return vec![None];
    }
    let powers = (0..usize::BITS).map(|bit| 1 << bit).take_while(|rows| *rows < max_rows);
    powers.chain([max_rows]).map(Some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_double_up_to_the_largest_run() {
        let check = |has_rows, max_rows, expected: &[usize]| {
            let sizes: Vec<usize> = sizes(has_rows, max_rows).into_iter().flatten().collect();
            assert_eq!(sizes, expected, "{has_rows} {max_rows}");
        };
        check(true, 1, &[1]);
        check(true, 2, &[1, 2]);
        check(true, 12, &[1, 2, 4, 8, 12]);
        check(false, 8, &[]);
        assert_eq!(sizes(false, 8), [None]);
    }
}
