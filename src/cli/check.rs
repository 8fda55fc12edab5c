//! `predictd check`: what a start would do, without serving.

use super::{CONFIG, Source, models, paint::Paint, settings};
use crate::{
    config::Config,
    server,
    serving::{Cause, LoadError, Loaded},
};
use clap::Args;
use std::{
    io::{Write, stdout},
    process::ExitCode,
};

#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    source: Source,
    /// Show every key of the configuration, those with their defaults too
    #[arg(long)]
    all: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let file = self.source.config.clone();
        // Every model is tried, so that all errors are seen at once.
        let config = Config { strict_models: false, ..self.source.load()? };
        let paint = Paint::for_stdout();
        for note in &config.notes {
            eprintln!("warning: {note}");
        }
        // Where nobody reads any more, as behind `head`, the exit code still says it.
        let mut out = stdout();
        let _ = settings::print(&mut out, &config, file.as_deref(), self.all, paint);
        let _ = writeln!(out);
        let mut failed = 0;
        let prepared = server::prepare(&config, &mut |loaded| {
            let mut out = stdout();
            let _ = match loaded {
                Loaded::Ready(model, took) => models::ready(&mut out, model, *took, paint),
                Loaded::Failed(name, error) => {
                    failed += 1;
                    models::failed(&mut out, name, &reasons(error), paint)
                }
            };
        })?;
        let count = prepared.models.len();
        let _ = writeln!(out, "\n{}\n{}", prepared.runtime, prepared.workers());
        if failed == 0 {
            let models = if count == 1 { "model is" } else { "models are" };
            let _ = writeln!(out, "{count} {models} ready to be served on {}", addresses(&config));
            return Ok(ExitCode::SUCCESS);
        }
        let _ = writeln!(out, "{failed} of {} models cannot be served", failed + count);
        Ok(CONFIG.into())
    }
}

/// One, or what is wrong with a model.toml.
fn reasons(error: &LoadError) -> Vec<String> {
    match error {
        LoadError::Model { cause: Cause::Settings(error), .. } => {
            error.problems().iter().map(ToString::to_string).collect()
        }
        LoadError::Model { cause, .. } => vec![cause.to_string()],
        other => vec![other.to_string()],
    }
}

fn addresses(config: &Config) -> String {
    config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
