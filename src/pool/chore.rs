//! What is to be done for a request and is no run of its model: a worker does it in the model's turn, within the same bounds
//! and the same deadline.

use super::{
    Failure, Prepared, Timing,
    job::{Ran, Work},
    outcome::Slot,
};
use crate::telemetry::statistics::Reason;
use std::{sync::Arc, time::Instant};

/// Done in place of making tensors, so that there is nothing to run.
pub(super) struct Chore<T, E, F> {
    pub work: Option<F>,
    pub submitted: Instant,
    pub slot: Arc<Slot<T, E>>,
}

impl<T: Send, E: Send, F: FnOnce() -> Result<T, E> + Send> Work for Chore<T, E, F> {
    fn prepare(&mut self) -> Option<Prepared> {
        let work = self.work.take()?;
        let begun = Instant::now();
        match work() {
            Ok(made) => {
                let (queue_wait, prepare) = (begun - self.submitted, begun.elapsed());
                self.slot.hand_over(made, Timing { queue_wait, prepare, ..Timing::default() });
            }
            Err(error) => _ = self.slot.fail_with(Reason::Input, Failure::Work(error)),
        }
        None
    }

    fn finish(&mut self, _: Ran<'_>) {}
}
