//! `predictd serve`

use super::{INTERNAL, Source};
use crate::{
    os::{process, signals::Signals},
    server::{self, Ending},
};
use anyhow::Context;
use clap::Args;
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.load()?;
        server::start_logging(&config);
        // One thread moves the bytes of all connections; the pool's threads do the work.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ending = runtime.block_on(async {
            let mut signals = Signals::take().context("signals cannot be waited for")?;
            let loading = config.clone();
            let prepared = tokio::task::spawn_blocking(move || server::prepare(&loading, &mut |_| {}));
            tokio::select! {
                prepared = prepared => server::serve(&config, prepared??, &mut signals).await,
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
