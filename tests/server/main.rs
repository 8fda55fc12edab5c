//! predictd as its users meet it: the real program, behind a real nginx, asked by real clients.

#![allow(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod commands;
mod errors;
mod harness;
mod library;
mod life;
mod predict;
mod uwsgi;
mod wires;
