//! The primitives of `monitor` and `ticket`. The model checker's test brings its own.

pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
