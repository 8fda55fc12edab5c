//! A served model: an engine, the recipes around it, and the names that requests find it by.

mod attempt;
mod check;
mod inspection;
mod load;
mod loader;
mod operation;
mod registry;
mod repository;
mod starter;
mod trial;

pub use check::{Checked, check};
pub use inspection::{Inspection, Timing, inspect};
pub use load::{Cause, Failure, Setup};
pub use loader::{Loader, Reread};
pub use operation::{Answer, LoadError, Operation, Outcome, Pending, Refusal, Report, What};
pub use registry::{Lookup, Models, Served, Standing, State, UNLOADED};
pub use starter::starter;
pub use trial::first_run;

use crate::{
    config::model as settings,
    model::{engine::Engine, folder::ModelName},
    pool::Batching,
    recipe::{classification, image},
};
use predictd_protocol::{
    excerpt::excerpt,
    inference::{
        spec::TensorSpec,
        tensor::{Datatype, Tensor},
        v2::Input,
    },
};
use std::{fmt, sync::Arc, time::Duration};

/// A version of a model, ready to run.
pub struct Model {
    /// What requests call it.
    pub name: ModelName,
    /// Its version, an integer.
    pub version: u64,
    /// What runs it.
    pub engine: Arc<dyn Engine>,
    /// How a picture becomes its input, if it takes pictures.
    pub image: Option<image::Recipe>,
    /// How its output becomes classes, if it classifies.
    pub classes: Option<classification::Recipe>,
    /// How long a request may take, from its last byte to its outputs.
    pub deadline: Duration,
    /// How requests share runs.
    pub batching: Batching,
    /// Why they do not, if so.
    pub alone: Option<String>,
    /// What was asked for it.
    pub settings: Arc<settings::Model>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Why tensors are not the inputs of a model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A name that the model does not have.
    #[error("model '{model}' has no input '{}'; it has {known}", excerpt(.input))]
    Unknown {
        /// The model.
        model: ModelName,
        /// The name given.
        input: String,
        /// The names it has.
        known: String,
    },
    /// An input that was not given.
    #[error("model '{model}': input '{input}' is missing")]
    Missing {
        /// The model.
        model: ModelName,
        /// The input.
        input: String,
    },
    /// Elements of another kind.
    #[error("model '{model}': input '{input}' must be {expected}, got {got}")]
    Datatype {
        /// The model.
        model: ModelName,
        /// The input.
        input: String,
        /// What it takes.
        expected: Datatype,
        /// What was given.
        got: Datatype,
    },
    /// Dimensions that do not fit.
    #[error("model '{model}': input '{input}' must be of shape {expected}, got {got:?}")]
    Shape {
        /// The model.
        model: ModelName,
        /// The input.
        input: String,
        /// What it takes; -1 is any size.
        expected: String,
        /// What was given.
        got: Vec<usize>,
    },
    /// A tensor of nothing that claims to be large: a model may give something for each row of nothing.
    #[error(
        "model '{model}': input '{input}' has no elements, so that its shape {got:?} may count no more than {MAX_EMPTY}"
    )]
    Empty {
        /// The model.
        model: ModelName,
        /// The input.
        input: String,
        /// What was given.
        got: Vec<usize>,
    },
    /// Two tensors of one name.
    #[error("model '{model}': input '{input}' is given twice")]
    Twice {
        /// The model.
        model: ModelName,
        /// The input.
        input: String,
    },
    /// The request wants what the model does not give.
    #[error("model '{model}' has no output '{}'; it has {known}", excerpt(.output))]
    Output {
        /// The model.
        model: ModelName,
        /// The name given.
        output: String,
        /// The names it has.
        known: String,
    },
}

/// What the free dimensions of a tensor without elements may claim: no byte has come for it.
const MAX_EMPTY: usize = 1 << 16;

/// The free dimensions of a tensor of nothing, but for those that are zero; 0 where it is of something.
fn claimed(spec: &TensorSpec, shape: &[usize]) -> usize {
    if !shape.contains(&0) {
        return 0;
    }
    let is_free = |at: usize| spec.any_rank || spec.shape[at].is_none();
    let free = shape.iter().enumerate().filter(|(at, got)| **got > 0 && is_free(*at));
    free.map(|(_, got)| *got).fold(1, usize::saturating_mul)
}

impl Model {
    /// The names that requests for this model's outputs may use, checked, with their places in the signature. None given
    /// means all.
    ///
    /// # Errors
    /// Where the model has no such output.
    pub fn select(&self, outputs: &[String]) -> Result<Vec<usize>, InputError> {
        let specs = &self.engine.signature().outputs;
        if outputs.is_empty() {
            return Ok((0..specs.len()).collect());
        }
        let place = |output: &String| {
            let unknown = || InputError::Output {
                model: self.name.clone(),
                output: output.clone(),
                known: names(specs),
            };
            specs.iter().position(|spec| spec.name == *output).ok_or_else(unknown)
        };
        outputs.iter().map(place).collect()
    }

    /// Puts tensors into the order of the signature, if they are what it takes.
    ///
    /// # Errors
    /// What is wrong with them, by name.
    pub fn arrange(&self, mut inputs: Vec<Input>) -> Result<Vec<Tensor>, InputError> {
        let specs = &self.engine.signature().inputs;
        let model = || self.name.clone();
        let mut arranged = Vec::with_capacity(specs.len());
        for spec in specs {
            let Some(at) = inputs.iter().position(|input| input.name == spec.name) else {
                return Err(
                    match inputs.iter().find(|input| specs.iter().all(|spec| spec.name != input.name)) {
                        Some(unknown) => self.unknown_input(&unknown.name),
                        None => InputError::Missing { model: model(), input: spec.name.clone() },
                    },
                );
            };
            let Input { name, tensor } = inputs.swap_remove(at);
            if tensor.datatype() != spec.datatype {
                let (expected, got) = (spec.datatype, tensor.datatype());
                return Err(InputError::Datatype { model: model(), input: name, expected, got });
            }
            if !spec.fits(tensor.shape()) {
                let (expected, got) = (spec.dims().to_string(), tensor.shape().to_vec());
                return Err(InputError::Shape { model: model(), input: name, expected, got });
            }
            if claimed(spec, tensor.shape()) > MAX_EMPTY {
                return Err(InputError::Empty { model: model(), input: name, got: tensor.shape().to_vec() });
            }
            arranged.push(tensor);
        }
        match inputs.into_iter().next() {
            None => Ok(arranged),
            Some(Input { name, .. }) if specs.iter().any(|spec| spec.name == name) => {
                Err(InputError::Twice { model: model(), input: name })
            }
            Some(Input { name, .. }) => Err(self.unknown_input(&name)),
        }
    }

    /// That the model has no such input.
    #[must_use]
    pub fn unknown_input(&self, name: &str) -> InputError {
        let known = names(&self.engine.signature().inputs);
        InputError::Unknown { model: self.name.clone(), input: name.to_owned(), known }
    }

    /// Whether inputs that come as bytes have to be gone through: strings have lengths, and a BOOL is not any byte.
    #[must_use]
    pub fn goes_through_bytes(&self) -> bool {
        let checked = |spec: &TensorSpec| matches!(spec.datatype, Datatype::Bytes | Datatype::Bool);
        self.engine.signature().inputs.iter().any(checked)
    }

    /// Whether the first dimension of all tensors counts rows: it is free, or fixed at one.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        let signature = self.engine.signature();
        let one = |spec: &TensorSpec| spec.shape.first() == Some(&Some(1));
        signature.has_free_rows() || signature.inputs.iter().chain(&signature.outputs).all(one)
    }
}

/// `'a', 'b'`
fn names(specs: &[TensorSpec]) -> String {
    specs.iter().map(|spec| format!("'{}'", spec.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
