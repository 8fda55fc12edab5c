//! An application server for models.

pub mod config;
pub mod recipe;
