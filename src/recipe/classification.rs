//! One row of a model's output into the most probable classes, with their names.
//!
//! Works for any numbers: what is not a number has no probability and comes last.

use crate::{
    config::model::ClassificationOutput,
    recipe::{LoadError, error::choose, ranking},
};
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::{Datatype, Tensor},
};
use serde::Serialize;

/// How far the sum of probabilities may be from 1; half-precision numbers come that far.
const TOLERANCE: f64 = 1e-3;

/// An `[output]` of kind `"classification"`, checked against its model.
#[derive(Clone, Debug)]
pub struct Recipe {
    tensor: String,
    labels: Option<Vec<String>>,
    top_k: usize,
    softmax: Option<bool>,
}

/// A class as it is answered: `{"label":"7","index":7,"score":0.993}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    /// Its name; without labels its index.
    pub label: String,
    /// Its place in the tensor, from 0.
    pub index: usize,
    /// Its probability, or what the model gave for it; `null` in JSON where that is not finite.
    pub score: f32,
}

/// The model gave something else than it had declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoresError {
    /// Not one number per class.
    #[error("tensor `{tensor}` has shape {shape:?} for one row, which is not one score per class")]
    Shape {
        /// Its name.
        tensor: String,
        /// Its shape without the batch dimension.
        shape: Vec<usize>,
    },
    /// No floating-point numbers.
    #[error("tensor `{tensor}` is {datatype}, which is no score")]
    Datatype {
        /// Its name.
        tensor: String,
        /// What it holds.
        datatype: Datatype,
    },
}

impl Recipe {
    /// Checks a recipe against what the model gives. `labels` are those that the recipe's file has, if there is one.
    ///
    /// # Errors
    /// Where recipe, labels and outputs do not fit together.
    pub fn new(
        output: &ClassificationOutput,
        outputs: &[TensorSpec],
        labels: Option<Vec<String>>,
    ) -> Result<Self, LoadError> {
        let spec = choose(outputs, output.tensor.as_deref(), "output", |spec| spec.datatype.is_float())?;
        let tensor = spec.name.clone();
        if !spec.datatype.is_float() {
            let (purpose, wanted) = ("a classification", "floating-point numbers");
            return Err(LoadError::Datatype { tensor, datatype: spec.datatype, purpose, wanted });
        }
        // The first dimension is the batch, unless there is no other.
        let row = if spec.shape.len() > 1 { &spec.shape[1..] } else { &spec.shape };
        let mut sizes = row.iter().flatten().copied().filter(|size| *size != 1);
        let (first, second) = (sizes.next(), sizes.next());
        if second.is_some() || first == Some(0) {
            return Err(LoadError::NotScores { tensor, shape: spec.dims() });
        }
        if let (Some(labels), Some(classes)) = (&labels, first)
            && labels.len() != classes
        {
            return Err(LoadError::LabelCount { labels: labels.len(), tensor, shape: spec.dims(), classes });
        }
        Ok(Self { tensor, labels, top_k: output.top_k.get(), softmax: output.softmax })
    }

    /// The output that it reads.
    #[must_use]
    pub fn tensor(&self) -> &str {
        &self.tensor
    }

    /// The name of a class, if it has one.
    #[must_use]
    pub fn label(&self, index: usize) -> Option<&str> {
        self.labels.as_ref()?.get(index).map(String::as_str)
    }

    /// Whether its classes have names.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    /// The `top_k` most probable classes of a row (a tensor without its batch dimension), fewer where there are fewer, the most
    /// probable first, of equal ones the lower index first. `None` is the recipe's own number.
    ///
    /// # Errors
    /// Where the row is not one score per class.
    pub fn classes(&self, row: &Tensor, top_k: Option<usize>) -> Result<Vec<Class>, ScoresError> {
        if row.shape().iter().filter(|size| **size != 1).count() > 1 {
            return Err(ScoresError::Shape { tensor: self.tensor.clone(), shape: row.shape().to_vec() });
        }
        let mut scores = row
            .to_f32()
            .ok_or_else(|| ScoresError::Datatype { tensor: self.tensor.clone(), datatype: row.datatype() })?;
        if self.softmax.unwrap_or_else(|| scores.len() > 1 && !are_probabilities(&scores)) {
            softmax(&mut scores);
        }
        let label = |index| self.label(index).map_or_else(|| index.to_string(), ToOwned::to_owned);
        let best = ranking::largest(&scores, top_k.unwrap_or(self.top_k), ranking::by_value);
        Ok(best.into_iter().map(|index| Class { label: label(index), index, score: scores[index] }).collect())
    }
}

fn are_probabilities(scores: &[f32]) -> bool {
    let sum: f64 = scores.iter().map(|score| f64::from(*score)).sum();
    // Rounding may leave a certain class a little over 1. What is not a number is in no range.
    scores.iter().all(|score| (0.0..=1.001).contains(score)) && (sum - 1.0).abs() <= TOLERANCE
}

/// Probabilities that are in the same relation as the exponentials of the scores.
fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in &mut *scores {
        // Relative to the largest none overflows; and for the largest itself even where it is infinite.
        *score = if *score == most { 1.0 } else { (*score - most).exp() };
        if !score.is_nan() {
            sum += f64::from(*score);
        }
    }
    for score in scores {
        #[expect(clippy::cast_possible_truncation, reason = "a probability needs no more than an f32")]
        let probability = (f64::from(*score) / sum) as f32;
        *score = probability;
    }
}

#[cfg(test)]
#[path = "classification_tests.rs"]
mod tests;
