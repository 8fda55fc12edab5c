//! The Open Inference Protocol, version 2: what an inference request asks and how it is answered.

mod json;

pub use json::{Error, InferRequest, InferResponse, Input, Output, parse, print};
