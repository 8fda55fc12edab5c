//! The signals that end the process, and the one that has it read its configuration again.

use std::io;
use tokio::signal::unix::{self, SignalKind};

/// SIGTERM and SIGINT, from now on.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM
    Terminate,
    /// SIGINT, Ctrl-C
    Interrupt,
}

impl Signal {
    /// As `kill -l` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    /// What shells say of a process that the signal ended.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}

impl Signals {
    /// Takes the signals over; they no longer end the process by themselves.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

/// SIGHUP, which does not end the process any more.
#[derive(Debug)]
pub struct Hangups(unix::Signal);

impl Hangups {
    /// Takes the signal over.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn take() -> io::Result<Self> {
        Ok(Self(unix::signal(SignalKind::hangup())?))
    }

    /// Waits for the next, or for several that came before.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
