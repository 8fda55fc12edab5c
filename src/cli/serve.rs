//! `predictd serve`

use super::{INTERNAL, Source};
use crate::{
    os::{
        process,
        signals::{Hangups, Signals},
    },
    server::{self, Ending, Live},
};
use anyhow::Context;
use clap::Args;
use std::{process::ExitCode, sync::Arc};

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = Arc::new(self.source.clone().load()?);
        let log = server::start_logging(&config);
        let live = Live::of(Arc::clone(&config), Some(log));
        let source = self.source;
        let again = Box::new(move || source.clone().load().map_err(|error| error.to_string()));
        // One thread moves the bytes of all connections; the pool's threads do the work.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ending = runtime.block_on(async {
            const TAKEN: &str = "signals cannot be waited for";
            let mut signals = Signals::take().context(TAKEN)?;
            let mut hangups = Hangups::take().context(TAKEN)?;
            let started = {
                let live = live.clone();
                tokio::task::spawn_blocking(move || server::prepare(config)?.start(&live, again))
            };
            tokio::select! {
                app = started => server::serve(&live, app??, &mut signals, &mut hangups).await,
                signal = signals.next() => Ok(Ending::Cut(signal)),
            }
        });
        // What outlived the drain is not waited for.
        runtime.shutdown_background();
        match ending? {
            Ending::Drained => Ok(ExitCode::SUCCESS),
            Ending::Cut(signal) => process::exit_now(signal.exit_code()),
            Ending::Stuck => process::exit_now(0),
            Ending::Broken => process::exit_now(INTERNAL),
        }
    }
}
