//! The start of the process that is to take over, seen from the one that serves meanwhile.

use crate::os::{socket::Handed, upgrade::Successor};
use std::{io, os::unix, time::Duration};
use tokio::{io::Interest, net::UnixStream, time::timeout};

/// How long it may take to be ready.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long an end may take after the channel's.
const DEATH: Duration = Duration::from_secs(5);

/// One that is starting.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// There until it has come to something.
    successor: Option<Successor>,
    /// Only its readiness is used: it keeps messages apart, as no stream does.
    channel: UnixStream,
}

impl Upgrade {
    /// Starts it, with `sockets`.
    pub(super) fn start(sockets: &[Handed]) -> io::Result<Self> {
        let successor = Successor::start(sockets)?;
        let channel = unix::net::UnixStream::from(successor.channel().try_clone_to_owned()?);
        Ok(Self { successor: Some(successor), channel: UnixStream::from_std(channel)? })
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.successor.as_ref().map_or(0, Successor::id)
    }

    /// Waits until it is ready; else says why it never will be, and it is no more. To be called again where it was dropped
    /// half-way.
    pub(super) async fn ready(&mut self) -> Result<Successor, String> {
        let Self { successor, channel } = self;
        let Some(waited_for) = successor.as_mut() else {
            return Err("it has come to something already".into());
        };
        let answer = async {
            loop {
                channel.readable().await?;
                match channel.try_io(Interest::READABLE, || waited_for.is_ready()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    answer => return answer,
                }
            }
        };
        match timeout(PATIENCE, answer).await {
            Ok(Ok(true)) => successor.take().ok_or_else(String::new),
            Ok(Ok(false) | Err(_)) => {
                let end = tokio::time::Instant::now() + DEATH;
                let mut ended = waited_for.ended();
                while ended.is_none() && tokio::time::Instant::now() < end {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    ended = waited_for.ended();
                }
                let how = ended.map_or_else(
                    || "it let go of us, and was killed".to_owned(),
                    |status| status.to_string(),
                );
                Err(how)
            }
            Err(_) => Err(format!("it was not ready within {} s, and was killed", PATIENCE.as_secs())),
        }
    }

    /// Ends it; unless it has said meanwhile that it is ready, since it may answer requests by now.
    pub(super) async fn end(self) -> Option<Successor> {
        let successor = self.successor?;
        if matches!(successor.is_ready(), Ok(true)) {
            return Some(successor);
        }
        // It may have much memory to give back.
        let _ = tokio::task::spawn_blocking(move || drop(successor)).await;
        None
    }
}
