//! The word to stop: no connections are accepted any more, and kept ones end.

use std::time::Duration;
use tokio::sync::watch;

/// How long a kept connection without a request stays open in a drain: its front end may be sending one.
const IDLE: Duration = Duration::from_secs(5);

/// A drain that may have begun.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

impl Drain {
    /// A drain and the sender that starts it, by `true` or by being dropped.
    #[must_use]
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether it has begun.
    pub(super) fn has_begun(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it has begun.
    pub(super) async fn begun(&self) {
        let _ = self.0.clone().wait_for(|begun| *begun).await;
    }

    /// Waits until idle connections are to be closed.
    pub(super) async fn idle_is_over(&self) {
        self.begun().await;
        tokio::time::sleep(IDLE).await;
    }
}
