//! `predictd stop`: ends a running server by its pidfile, waits, and says what came of it.

use super::{INTERNAL, UNAVAILABLE, USAGE};
use crate::{
    config::{self, Overrides},
    os::pidfile::{Found, Holder, Pidfile},
};
use anyhow::Context;
use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    process::{Pid, PidfdFlags, Signal},
};
use std::{
    io::{IsTerminal, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

#[derive(Args, Debug)]
pub(super) struct Stop {
    /// The server's pidfile, if it is not to be read from the configuration
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// The server's configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seconds to wait, if not limits.drain and a few more; the server goes on ending in any case
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
}

/// What ending takes beside the drain.
const BESIDE_DRAIN: Duration = Duration::from_secs(10);

impl Stop {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(self.config.as_deref(), config::environment(), Overrides::default())?;
        let Some(path) = self.pidfile.or(config.pidfile) else {
            eprintln!(
                "predictd: which server? Give --pidfile FILE, or -c FILE of a configuration that sets pidfile"
            );
            return Ok(USAGE.into());
        };
        let patience = self.timeout.map_or(config.limits.drain + BESIDE_DRAIN, Duration::from_secs);
        let found = Pidfile::find(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        match found {
            Found::Missing => Ok(nobody(&path, "does not exist")),
            Found::Stale => Ok(nobody(&path, "was left by one that is gone")),
            Found::Running(holder) => stop(&path, holder, patience),
        }
    }
}

fn nobody(path: &Path, why: &str) -> ExitCode {
    eprintln!("predictd: no server runs: {} {why}", path.display());
    UNAVAILABLE.into()
}

fn stop(path: &Path, holder: Holder, patience: Duration) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let pid = holder.pid;
    let process = match Pid::from_raw(pid).map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty())) {
        Some(Ok(process)) => process,
        None | Some(Err(Errno::SRCH)) => return Ok(nobody(path, "was left by one that is gone")),
        Some(Err(errno)) => return Err(errno).context(format!("process {pid} cannot be watched")),
    };
    // It has its pidfile still: so the number was its own when we took hold of it.
    if !matches!(Pidfile::find(path), Ok(Found::Running(again)) if again.pid == pid) {
        return Ok(nobody(path, "was left by one that has just ended"));
    }
    match rustix::process::pidfd_send_signal(&process, Signal::TERM) {
        Ok(()) => {}
        Err(Errno::PERM) => {
            eprintln!("predictd: process {pid} is another user's: only that user or root can stop it");
            return Ok(UNAVAILABLE.into());
        }
        Err(errno) => return Err(errno).context(format!("process {pid} cannot be signalled")),
    }
    if !wait(&process, begun + patience)? {
        eprintln!("predictd: process {pid} has not ended within {} s, and goes on", patience.as_secs());
        return Ok(INTERNAL.into());
    }
    let took = begun.elapsed().as_secs_f64();
    match holder.last_word() {
        Some(word) => println!("stopped process {pid} in {took:.1} s: {word}"),
        None => println!("stopped process {pid} in {took:.1} s; it was cut short, and left no word"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Until the process has ended, or `end`; on a terminal it is seen how long that takes.
fn wait(process: &OwnedFd, end: Instant) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let seen = std::io::stderr().is_terminal();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let slice = Timespec::try_from(left.min(Duration::from_secs(1)))?;
        let ended = match rustix::event::poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&slice)) {
            Err(Errno::INTR) => 0,
            polled => polled?,
        };
        if seen {
            eprint!("\r\x1b[K");
        }
        if ended > 0 {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        if seen {
            eprint!("answering what was accepted, for {} s", begun.elapsed().as_secs());
            let _ = std::io::stderr().flush();
        }
    }
}
