//! What a request says: tensors, and the JSON that carries them.

mod cursor;
pub mod document;
pub mod multipart;
pub mod nested;
pub mod predict;
pub mod spec;
pub mod strings;
pub mod tensor;
pub mod v1;
pub mod v2;

pub use cursor::SyntaxError;
