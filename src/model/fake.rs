//! A stand-in for a model that misbehaves on demand, for tests of everything around it.

use super::engine::{Engine, Interrupt, RunError, Signature};
use crate::config::model::Fake as Behaviour;
use bytes::Bytes;
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::{Data, Datatype, Tensor},
};
use std::{
    hint, thread,
    time::{Duration, Instant},
};

/// Takes rows of numbers, does what it was told to, and gives them back.
#[derive(Debug)]
pub struct Fake {
    behaviour: Behaviour,
    signature: Signature,
}

impl Fake {
    /// A model that does this in every run.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Self {
        let spec = |name: &str| TensorSpec {
            name: name.into(),
            datatype: Datatype::Fp32,
            shape: vec![None, None],
            any_rank: false,
        };
        let signature =
            Signature { inputs: vec![spec("input")], outputs: vec![spec("output")], row_names: Vec::new() };
        Self { behaviour, signature }
    }

    /// The same, after it has taken the time that it was told to take, unless it is told to end.
    #[must_use]
    pub fn load(behaviour: Behaviour, interrupt: &Interrupt) -> Self {
        let fake = Self::new(behaviour);
        // One that is told to end is no less a model for it.
        let _ = fake.sleep(fake.behaviour.load.0, interrupt);
        fake
    }

    fn sleep(&self, time: Duration, interrupt: &Interrupt) -> Result<(), RunError> {
        const STEP: Duration = Duration::from_millis(1);
        let wake = Instant::now() + time;
        while let Some(left) = wake.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.is_told_to_end(interrupt) {
                return Err(RunError::Terminated);
            }
            thread::park_timeout(left.min(STEP));
        }
        Ok(())
    }

    fn is_told_to_end(&self, interrupt: &Interrupt) -> bool {
        !self.behaviour.ignore_terminate && interrupt.is_terminated()
    }
}

impl Engine for Fake {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &[Tensor], interrupt: &Interrupt) -> Result<Vec<Tensor>, RunError> {
        self.sleep(self.behaviour.sleep.0, interrupt)?;
        let end = Instant::now() + self.behaviour.spin.0;
        while Instant::now() < end {
            if self.is_told_to_end(interrupt) {
                return Err(RunError::Terminated);
            }
            hint::spin_loop();
        }
        assert!(!self.behaviour.panic, "a fake model that was told to panic");
        Ok(inputs
            .iter()
            .map(|input| if self.behaviour.echo { input.clone() } else { zeros(input) })
            .collect())
    }
}

fn zeros(like: &Tensor) -> Tensor {
    let Data::Numbers(bytes) = like.data() else { return like.clone() };
    Tensor::from_bytes(like.datatype(), like.shape().to_vec(), Bytes::from(vec![0; bytes.len()]))
        .expect("as many bytes as the other has")
}
