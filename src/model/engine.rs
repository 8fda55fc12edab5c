//! What runs a model: the seam between the pool and ONNX Runtime.

use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::{Datatype, Tensor},
};
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
    pub inputs: Vec<TensorSpec>,
    /// What it gives.
    pub outputs: Vec<TensorSpec>,
    /// The names that the model gives to the first dimensions which may be of any size, each once: two mean that they are
    /// not one batch.
    pub row_names: Vec<String>,
}

impl Signature {
    /// Whether the first dimension of every tensor may be of any size: several requests could be one run.
    #[must_use]
    pub fn has_free_rows(&self) -> bool {
        !self.inputs.is_empty() && self.inputs.iter().chain(&self.outputs).all(TensorSpec::has_free_rows)
    }

    /// Datatype and shape of every input, with so many rows where the first dimension is free: what a run on zeros needs.
    /// `None` where nothing but a request tells the shapes, or where there is no zero.
    #[must_use]
    pub fn zeros(&self, rows: usize) -> Option<Vec<(Datatype, Vec<usize>)>> {
        let input = |spec: &TensorSpec| {
            if spec.any_rank || spec.datatype.size().is_none() {
                return None;
            }
            let dims = spec.shape.iter().enumerate();
            let shape = dims.map(|(at, dim)| dim.or((at == 0).then_some(rows))).collect::<Option<_>>()?;
            Some((spec.datatype, shape))
        };
        self.inputs.iter().map(input).collect()
    }

    /// Why not, where not: the first tensor whose first dimension is not free.
    #[must_use]
    pub fn fixed_rows(&self) -> String {
        let inputs = self.inputs.iter().map(|spec| ("input", spec));
        let outputs = self.outputs.iter().map(|spec| ("output", spec));
        match inputs.chain(outputs).find(|(_, spec)| !spec.has_free_rows()) {
            Some((side, spec)) if spec.shape.is_empty() => {
                format!("its {side} '{}' is a single value", spec.name)
            }
            Some((side, spec)) => {
                format!(
                    "the first dimension of its {side} '{}', of shape {}, is not free",
                    spec.name,
                    spec.dims()
                )
            }
            None => "it has no inputs".into(),
        }
    }

    /// The input of that name.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&TensorSpec> {
        self.inputs.iter().find(|spec| spec.name == name)
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
    use predictd_protocol::inference::tensor::Datatype;
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
    fn zeros_are_of_the_shapes_that_are_known_without_a_request() {
        let spec = |datatype, shape: &[Option<usize>], any_rank| TensorSpec {
            name: "x".into(),
            datatype,
            shape: shape.into(),
            any_rank,
        };
        let zeros = |inputs: &[TensorSpec]| {
            Signature { inputs: inputs.into(), outputs: Vec::new(), row_names: Vec::new() }.zeros(3)
        };
        let rows = spec(Datatype::Fp32, &[None, Some(4)], false);
        assert_eq!(
            zeros(&[rows.clone(), spec(Datatype::Int64, &[], false)]),
            Some(vec![(Datatype::Fp32, vec![3, 4]), (Datatype::Int64, vec![])])
        );
        for unknown in [
            spec(Datatype::Fp32, &[None, None], false),
            spec(Datatype::Fp32, &[None], true),
            spec(Datatype::Bytes, &[None], false),
        ] {
            assert_eq!(zeros(&[rows.clone(), unknown]), None);
        }
    }

    #[test]
    fn a_signature_batches_if_all_first_dimensions_are_free() {
        let spec = |shape: &[Option<usize>]| TensorSpec {
            name: "x".into(),
            datatype: Datatype::Fp32,
            shape: shape.into(),
            any_rank: false,
        };
        let check = |inputs: &[&[Option<usize>]], outputs: &[&[Option<usize>]], expected| {
            let specs = |shapes: &[&[Option<usize>]]| shapes.iter().map(|shape| spec(shape)).collect();
            assert_eq!(
                Signature { inputs: specs(inputs), outputs: specs(outputs), row_names: Vec::new() }
                    .has_free_rows(),
                expected
            );
        };
        check(&[&[None, Some(4)]], &[&[None], &[None, Some(3)]], true);
        check(&[&[None, Some(4)], &[]], &[&[None]], false);
        check(&[&[Some(1), Some(4)]], &[&[None]], false);
        check(&[&[None]], &[&[Some(7), Some(11)]], false);
        check(&[], &[&[None]], false);
    }
}
