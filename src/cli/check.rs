//! `predictd check`: what a start would do, without serving.

use super::{CONFIG, Source, models, paint::Paint, settings};
use crate::{
    config::Config,
    server,
    serving::{self, Cause, Checked, Failure},
};
use clap::Args;
use std::{
    io::{Write, stdout},
    path::Path,
    process::ExitCode,
    sync::Arc,
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
        let file = self.source.file().map(Path::to_owned);
        let config = Arc::new(self.source.load()?);
        let paint = Paint::for_stdout();
        for note in &config.notes {
            eprintln!("warning: {note}");
        }
        // Where nobody reads any more, as behind `head`, the exit code still says it.
        let mut out = stdout();
        let _ = settings::print(&mut out, &config, file.as_deref(), self.all, paint);
        let _ = writeln!(out);
        let prepared = server::prepare(Arc::clone(&config))?;
        let runtime = &prepared.setup.runtime;
        runtime.passed_over().iter().for_each(|provider| eprintln!("warning: {provider}"));
        let (mut good, mut failed) = (0, 0);
        let all_ended = serving::check(&prepared.setup, &mut |checked, took| {
            let mut out = stdout();
            let _ = match checked {
                Checked::Ready(model) => {
                    good += 1;
                    models::ready(&mut out, model, took, paint)
                }
                Checked::Failed(name, failure) => {
                    failed += 1;
                    models::failed(&mut out, name, &reasons(failure), paint)
                }
            };
        })?;
        let _ = writeln!(out, "\n{} on {}\n{}", runtime.version(), runtime.providers(), prepared.workers());
        let code = if failed == 0 {
            let models = if good == 1 { "model is" } else { "models are" };
            let _ = writeln!(out, "{good} {models} ready to be served on {}", addresses(&config));
            0
        } else {
            let _ = writeln!(out, "{failed} of {} models cannot be served", failed + good);
            CONFIG
        };
        if all_ended { Ok(code.into()) } else { super::leave(code) }
    }
}

/// One, or what is wrong with a model.toml.
fn reasons(failure: &Failure) -> Vec<String> {
    match (&failure.cause, failure.version) {
        (Cause::Settings(error), _) => error.problems().iter().map(ToString::to_string).collect(),
        (cause, Some(version)) => vec![format!("version {version}: {cause}")],
        (cause, None) => vec![cause.to_string()],
    }
}

fn addresses(config: &Config) -> String {
    config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
