//! The Open Inference Protocol, version 2: what an inference request asks and how it is answered, with the binary
//! tensors and the parameters of Triton's extensions.

mod binary;
mod client;
mod json;
mod request;
mod response;

pub use binary::Error as BinaryError;
pub use client::print_request;
pub use request::{Error, InferRequest, Input, RequestedOutput, parse};
pub use response::{InferResponse, Output, PrintError, Printed, print};

#[cfg(test)]
mod tests;
