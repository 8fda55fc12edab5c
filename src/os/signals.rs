//! The signals that the process minds.

use std::{future::poll_fn, io, task::Poll};
use tokio::signal::unix::{self, SignalKind};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: to end.
    Terminate,
    /// SIGINT, Ctrl-C: to end.
    Interrupt,
    /// SIGHUP: to read the configuration again.
    Hangup,
    /// SIGUSR1: to open the files of the log again.
    User1,
    /// SIGUSR2: to hand over to a new process.
    User2,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Terminate, Self::Interrupt, Self::Hangup, Self::User1, Self::User2];

    /// Those that ask for the end.
    pub const ENDING: [Self; 2] = [Self::Terminate, Self::Interrupt];

    /// As `kill -l` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
            Self::User1 => "SIGUSR1",
            Self::User2 => "SIGUSR2",
        }
    }

    fn kind(self) -> SignalKind {
        match self {
            Self::Terminate => SignalKind::terminate(),
            Self::Interrupt => SignalKind::interrupt(),
            Self::Hangup => SignalKind::hangup(),
            Self::User1 => SignalKind::user_defined1(),
            Self::User2 => SignalKind::user_defined2(),
        }
    }

    /// What shells say of a process that the signal ended.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        // Below 32, all of them.
        128 + u8::try_from(self.kind().as_raw_value()).unwrap_or(0)
    }
}

/// Signals that have been taken over: they do nothing by themselves any more.
#[derive(Debug)]
pub struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Takes these over.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn take(signals: &[Signal]) -> io::Result<Self> {
        let taken = signals.iter().map(|signal| Ok((*signal, unix::signal(signal.kind())?)));
        Ok(Self(taken.collect::<io::Result<_>>()?))
    }

    /// Waits for the next; one that comes several times meanwhile counts once.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|cx| {
            for (signal, stream) in &mut self.0 {
                if stream.poll_recv(cx).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!(Signal::ENDING.map(Signal::exit_code), [143, 130]);
    }
}
