//! The word to stop: no connections are accepted any more, and kept ones end.

use crate::telemetry::phase::{Life, Phase};
use std::time::Duration;
use tokio::sync::watch;

/// How long a kept connection without a request stays open in a drain: its front end may be sending one.
const IDLE: Duration = Duration::from_secs(5);

/// The end of a server's life, as connections see it: whether it has begun.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Phase>);

impl Drain {
    /// That of `life`. It begins when that is draining, or dropped.
    #[must_use]
    pub fn of(life: &Life) -> Self {
        Self(life.watch())
    }

    /// Whether it has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.0.borrow().is_ending() || self.0.has_changed().is_err()
    }

    /// Waits until it has begun.
    pub(super) async fn begun(&self) {
        let _ = self.0.clone().wait_for(|phase| phase.is_ending()).await;
    }

    /// Waits until idle connections are to be closed.
    pub(super) async fn idle_is_over(&self) {
        self.begun().await;
        tokio::time::sleep(IDLE).await;
    }
}
