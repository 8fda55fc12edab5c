//! `predictd check`: what a start would do, without serving.

use super::{CONFIG, Source};
use crate::{
    config::Config,
    server,
    serving::{Loaded, Model},
};
use predictd_protocol::inference::spec::TensorSpec;
use std::{io::Write, process::ExitCode};

pub(super) fn run(source: Source) -> anyhow::Result<ExitCode> {
    // Every model is tried, so that all errors are seen at once.
    let config = Config { strict_models: false, ..source.load()? };
    for note in &config.notes {
        eprintln!("warning: {note}");
    }
    let mut failed = 0;
    let prepared = server::prepare(&config, &mut |loaded| {
        let mut out = std::io::stdout().lock();
        let _ = match loaded {
            Loaded::Ready(model, took) => {
                writeln!(out, "ok      {:24} {}  ({} ms)", label(model), summary(model), took.as_millis())
            }
            Loaded::Failed(name, error) => {
                failed += 1;
                writeln!(out, "FAILED  {name:24} {error}")
            }
        };
    })?;
    let count = prepared.models.len();
    println!("{}, {}", prepared.runtime, prepared.workers());
    if failed == 0 {
        let models = if count == 1 { "model is" } else { "models are" };
        println!("{count} {models} ready to be served on {}", addresses(&config));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{failed} of {} models cannot be served", failed + count);
    Ok(CONFIG.into())
}

fn label(model: &Model) -> String {
    format!("{} version {}", model.name, model.version)
}

fn summary(model: &Model) -> String {
    let signature = model.engine.signature();
    let specs = |specs: &[TensorSpec]| {
        let print = |spec: &TensorSpec| format!("{} {} {}", spec.name, spec.datatype, spec.dims());
        specs.iter().map(print).collect::<Vec<_>>().join(", ")
    };
    format!("{} -> {}", specs(&signature.inputs), specs(&signature.outputs))
}

fn addresses(config: &Config) -> String {
    config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
