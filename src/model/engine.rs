//! What runs a model: the seam between the pool and ONNX Runtime.

use predictd_protocol::inference::tensor::{Datatype, Tensor};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// A model that has been loaded, shared by all workers.
pub trait Engine: Send + Sync + 'static {
    /// What it takes and gives.
    fn signature(&self) -> &Signature;

    /// Runs once, on the calling thread. `inputs` are in the order of the signature and fit it; so do the outputs.
    ///
    /// # Errors
    /// Why the run gave nothing.
    fn run(&self, inputs: &[Tensor], interrupt: &Interrupt) -> Result<Vec<Tensor>, RunError>;
}

/// Inputs and outputs of a model, in its own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it takes.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
}

impl Signature {
    /// Whether several requests can be one run: every tensor has a first dimension that may be of any size.
    #[must_use]
    pub fn batches(&self) -> bool {
        let free = |port: &Port| port.shape.first() == Some(&None);
        !self.inputs.is_empty() && self.inputs.iter().chain(&self.outputs).all(free)
    }

    /// The input or output of that name.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name == name)
    }
}

/// A tensor that a model takes or gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name in the model.
    pub name: String,
    /// What its elements are.
    pub datatype: Datatype,
    /// Its dimensions; `None` may be of any size.
    pub shape: Vec<Option<usize>>,
}

impl Port {
    /// Whether a tensor of `shape` may be this.
    #[must_use]
    pub fn fits(&self, shape: &[usize]) -> bool {
        self.shape.len() == shape.len()
            && self.shape.iter().zip(shape).all(|(want, got)| want.is_none_or(|want| want == *got))
    }

    /// The shape as the protocol writes it: -1 is any size.
    #[must_use]
    pub fn dims(&self) -> Dims<'_> {
        Dims(&self.shape)
    }
}

/// Prints `[-1, 28, 28]`.
#[derive(Debug)]
pub struct Dims<'a>(&'a [Option<usize>]);

impl fmt::Display for Dims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (at, dim) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            match dim {
                Some(dim) => write!(f, "{comma}{dim}")?,
                None => write!(f, "{comma}-1")?,
            }
        }
        f.write_str("]")
    }
}

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was ended by [`Interrupt::terminate`].
    #[error("the run was terminated")]
    Terminated,
    /// The model itself failed.
    #[error("{0}")]
    Failed(String),
}

/// Ends a run from another thread.
#[derive(Default)]
pub struct Interrupt {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Running(Arc<dyn Terminate>),
    Terminated,
}

/// What an engine's run can be ended by.
pub trait Terminate: Send + Sync {
    /// Asks the run to end; returns at once.
    fn terminate(&self);
}

impl Interrupt {
    /// Ends the run that is under way, and any that would follow.
    pub fn terminate(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(run) = std::mem::replace(&mut *state, State::Terminated) {
            run.terminate();
        }
    }

    /// Whether [`terminate`](Self::terminate) has been called.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Terminated)
    }

    /// Calls `run` so that `by` can end it.
    ///
    /// # Errors
    /// [`RunError::Terminated`] where the end came before the beginning.
    pub fn while_running<T>(&self, by: Arc<dyn Terminate>, run: impl FnOnce() -> T) -> Result<T, RunError> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*state, State::Terminated) {
                return Err(RunError::Terminated);
            }
            *state = State::Running(by);
        }
        let result = run();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Running(_)) {
            *state = State::Idle;
        }
        Ok(result)
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").field("terminated", &self.is_terminated()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Terminate for Count {
        fn terminate(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_run_is_ended_once_and_none_follows() {
        let (interrupt, count) = (Interrupt::default(), Arc::new(Count::default()));
        let ran = interrupt.while_running(Arc::clone(&count) as _, || {
            interrupt.terminate();
            interrupt.terminate();
        });
        assert!(ran.is_ok());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(matches!(interrupt.while_running(count, || ()), Err(RunError::Terminated)));
    }

    #[test]
    fn a_run_that_is_over_is_not_ended() {
        let (interrupt, count) = (Interrupt::default(), Arc::new(Count::default()));
        interrupt.while_running(Arc::clone(&count) as _, || ()).unwrap();
        interrupt.terminate();
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_signature_batches_if_all_first_dimensions_are_free() {
        let port = |shape: &[Option<usize>]| Port { name: "x".into(), datatype: Datatype::Fp32, shape: shape.into() };
        let check = |inputs: &[&[Option<usize>]], outputs: &[&[Option<usize>]], expected| {
            let ports = |shapes: &[&[Option<usize>]]| shapes.iter().map(|shape| port(shape)).collect();
            assert_eq!(Signature { inputs: ports(inputs), outputs: ports(outputs) }.batches(), expected);
        };
        check(&[&[None, Some(4)]], &[&[None], &[None, Some(3)]], true);
        check(&[&[None, Some(4)], &[]], &[&[None]], false);
        check(&[&[Some(1), Some(4)]], &[&[None]], false);
        check(&[&[None]], &[&[Some(7), Some(11)]], false);
        check(&[], &[&[None]], false);
    }
}
