//! Tensors to tensors: what a model is to the rest of the program, and ONNX Runtime as one way to run it.

mod arena;
mod copies;
pub mod engine;
mod external;
pub mod fake;
pub mod folder;
pub mod library;
mod message;
pub mod metadata;
pub mod onnx;
pub mod private;
mod protobuf;
pub mod source;
