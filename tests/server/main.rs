//! predictd as its users meet it: the real program, behind a real nginx, asked by real clients.

mod commands;
mod errors;
mod harness;
mod life;
mod predict;
mod uwsgi;
