//! `predictd serve`

use super::{INTERNAL, Source};
use crate::{
    os::{
        process,
        signals::{Signal, Signals},
        upgrade::Handover,
    },
    server::{self, Ending, Live, Stage},
    telemetry::logging,
};
use anyhow::Context;
use clap::Args;
use std::{process::ExitCode, sync::Arc, time::Duration};

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
}

/// How long the last lines of the log may take to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

impl Serve {
    pub(super) fn run(self, handover: Handover) -> anyhow::Result<ExitCode> {
        let config = Arc::new(self.source.clone().load()?);
        let log = server::start_logging(&config)?;
        let ending = self.serve(&Live::of(config, Some(log))?, handover);
        logging::flush(LAST_LINES);
        match ending {
            Ok(Ending::Drained) => Ok(ExitCode::SUCCESS),
            Ok(Ending::Cut(signal)) => process::exit_now(signal.exit_code()),
            Ok(Ending::Stuck) => process::exit_now(0),
            Ok(Ending::Broken) => process::exit_now(INTERNAL),
            Err(error) => super::leave(super::fail(&error)),
        }
    }

    fn serve(self, live: &Live, handover: Handover) -> anyhow::Result<Ending> {
        let again = Box::new(move || self.source.clone().load().map_err(|error| error.to_string()));
        // One thread moves the bytes of all connections; the pool's threads do the work.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ending = runtime.block_on(async {
            // First: a signal from here on finds nobody who would leave a socket behind.
            let signals = Signals::take(&Signal::ALL).context("signals cannot be waited for")?;
            let stage = Stage::set(&live.config(), handover)?;
            server::serve(live, stage, signals, again).await
        });
        // What outlived the drain is not waited for.
        runtime.shutdown_background();
        ending
    }
}
