//! predictd as its users meet it: the real program, behind a real nginx, asked by real clients.
//!
//! `cargo test` and `make check` need nginx and curl. The tests that need other front ends or clients, and those that
//! only vary what others test, are `#[ignore]`d: `make test` runs them (`cargo test --test server -- --ignored`, or
//! with nextest `--run-ignored only`). Where a program is missing, a test fails; it is never skipped. Those of
//! `life::as_root` take root: `make test` runs them where it can be root, and says so where it cannot.

#![allow(clippy::unwrap_used, reason = "a test ends with its first surprise")]

mod admin;
mod bench;
mod broken_models;
mod commands;
mod configuration;
mod deployment;
mod doctor;
mod encoding;
mod errors;
mod explain;
mod files;
mod front_ends;
mod golden;
mod harness;
mod hostile;
mod infer;
mod inference_clients;
mod leaving;
mod library;
mod life;
mod metrics;
mod multipart;
mod nginx_errors;
mod openapi;
mod page;
mod pool;
mod predict;
mod process;
mod recipes;
mod reload;
mod statistics;
mod tensors;
mod tiny;
mod top;
mod uwsgi;
mod uwsgi_stats;
mod v1;
mod v2;
mod wires;
