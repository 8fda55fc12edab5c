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
pub mod ranking;

pub use error::LoadError;
pub use picture::{Format, PictureError, sniff};
