//! `cargo bench --bench pool`: what the pool costs and what it gives, driven in process, without any wire.
//!
//! Every figure is a ratio within this run, its rounds interleaved, since machines drift and have neighbours. The program
//! ends with 1 where a figure is far from what is wanted; a little is the machine's to take.
//!
//! | file | measures |
//! |---|---|
//! | `batching` | what sharing runs gives to many clients, and takes from one |
//! | `throughput` | what is left of the model's own speed |
//! | `overload` | what becomes of twice the load that is possible |
//! | `memory` | what workers take beside the weights |
//! | `dense`, `clients` | the models that are run, and those who ask them |

mod batching;
mod clients;
mod dense;
mod memory;
mod overload;
mod throughput;

use predictd::os::{cpus, process};
use std::{env, fmt, io, process::ExitCode, time::Duration};

/// Figures that miss by more than this are failures.
const SLACK: f64 = 0.2;

const USAGE: &str =
    "cargo bench --bench pool -- [batching] [throughput] [overload] [memory] [--seconds N] [--rounds N]";

/// How long to measure.
struct Length {
    /// Of one measurement in a round.
    round: Duration,
    rounds: usize,
    /// Of the load that is too much.
    overload: Duration,
}

/// What a figure should be.
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    /// It is there to be read.
    Any,
}

/// The lines of the table, and what was missed.
#[derive(Default)]
struct Table {
    missed: Vec<String>,
}

impl Table {
    fn title(&self, title: impl fmt::Display) {
        println!("\n{title}");
    }

    fn figure(&mut self, name: &str, value: f64, unit: &str, wanted: Wanted) {
        let (wanted, verdict) = match wanted {
            Wanted::Any => (String::new(), ""),
            Wanted::AtLeast(bound) => {
                (format!(">= {bound}"), verdict(value >= bound, value >= bound * (1.0 - SLACK)))
            }
            Wanted::AtMost(bound) => {
                (format!("<= {bound}"), verdict(value <= bound, value <= bound * (1.0 + SLACK)))
            }
        };
        let shown = if value.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.1}") };
        println!("  {:<62}{:>14} {wanted:>9}  {verdict}", name, format!("{shown} {unit}"));
        if verdict == FAR {
            self.missed.push(format!("{name}: {shown} {unit}, wanted {wanted}"));
        }
    }
}

const FAR: &str = "MISSED";

fn verdict(reached: bool, nearly: bool) -> &'static str {
    match (reached, nearly) {
        (true, _) => "ok",
        (false, true) => "nearly",
        (false, false) => FAR,
    }
}

fn main() -> ExitCode {
    // ONNX Runtime reads it once, and the environment may only be changed while there is one thread.
    let _ = process::disable_onnxruntime_telemetry();
    match run() {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            println!("\nmissed by more than {:.0} %:", SLACK * 100.0);
            missed.iter().for_each(|line| println!("  {line}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut length =
        Length { round: Duration::from_millis(1500), rounds: 5, overload: Duration::from_secs(5) };
    let mut parts: Vec<String> = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u32, Box<dyn std::error::Error>> {
            let text = arguments.next().ok_or(USAGE)?;
            text.parse().ok().filter(|number| *number > 0).ok_or_else(|| USAGE.into())
        };
        match &*argument {
            // Cargo says so to every bench.
            "--bench" => {}
            "--seconds" => length.overload = Duration::from_secs(number()?.into()),
            "--rounds" => length.rounds = number()? as usize,
            memory::ARGUMENT => return memory::child(number()? as usize).map(|()| Vec::new()),
            "batching" | "throughput" | "overload" | "memory" => parts.push(argument),
            _ => return Err(USAGE.into()),
        }
    }
    let cores = cpus::allowed()?.len();
    let busy: f64 = std::fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or("0").parse()?;
    if busy > cores as f64 / 4.0 {
        eprintln!("bench: the machine is busy (load {busy} on {cores} cores): no figure will be worth much");
    }
    println!("the pool in process, {cores} cores, {} rounds of {:?}: medians", length.rounds, length.round);
    let mut table = Table::default();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|name| name == part);
    if wanted("memory") {
        memory::measure(&mut table)?;
    }
    if wanted("batching") {
        batching::measure(&mut table, &length)?;
    }
    if wanted("throughput") {
        throughput::measure(&mut table, &length)?;
    }
    if wanted("overload") {
        overload::measure(&mut table, &length)?;
    }
    Ok(table.missed)
}

/// A pool of a worker on each core, as a server has by default; of `count` workers where that is said.
fn pool(count: Option<usize>) -> io::Result<(predictd::pool::Pool, usize)> {
    let cores = cpus::allowed()?;
    let count = count.unwrap_or(cores.len());
    let workers = (0..count).map(|at| vec![cores[at % cores.len()]]).collect();
    let options = predictd::pool::Options { workers, ..Default::default() };
    Ok((predictd::pool::Pool::start(options)?, count))
}

/// The one in the middle.
fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// The one below which a `part` of them is.
fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}
