//! The bytes of predictd, as pure functions and state machines.
//!
//! Two rooms that know nothing of each other: [`gateway`] is how front ends (nginx, `HAProxy`, Apache, lighttpd)
//! hand over a request, [`inference`] is what the request says. No I/O, no clock, no runtime, no log: untrusted
//! bytes come in as slices and leave as types, or as an error that says which part was wrong.
#![forbid(unsafe_code)]

pub mod excerpt;
pub mod gateway;
pub mod inference;
