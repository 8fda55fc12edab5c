//! What lies between a model's tensors and what its users have and want: a picture into a tensor, a tensor into classes.
//!
//! A recipe is checked against the model once, when both are loaded; then it works on one row at a time, on any thread.

pub mod classification;
mod error;
mod frame;
pub mod image;
pub mod labels;
mod layout;
mod picture;

pub use error::LoadError;
pub use picture::{Format, PictureError, sniff};

use predictd_protocol::inference::tensor::Datatype;

/// A tensor that a model takes or gives, as far as a recipe needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Port<'a> {
    /// Its name in the model.
    pub name: &'a str,
    /// What its elements are.
    pub datatype: Datatype,
    /// Its dimensions, that of the batch included; `None` may be of any size.
    pub shape: &'a [Option<usize>],
}
