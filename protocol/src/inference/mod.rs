//! What a request says: tensors, and the JSON that carries them.

pub mod nested;
pub mod predict;
pub mod spec;
pub mod tensor;
pub mod v2;
