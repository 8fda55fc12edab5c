//! This process and its threads: environment, affinity.
//!
//! One of the two files where `unsafe` may stand.
#![allow(unsafe_code)]

use super::cpus::CpuId;
use rustix::thread::CpuSet;
use std::io;

/// Keeps ONNX Runtime from calling home: it has no other switch that works once its library is open.
///
/// To be called first thing in `main`, before there are threads.
pub fn disable_onnxruntime_telemetry() {
    // SAFETY: setting a variable is unsound only beside another thread that reads the environment. This is called at
    // the top of `main`, where there is no other thread.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

/// Pins the calling thread to `cpus`.
///
/// # Errors
/// Where the kernel refuses, as for a core outside of the cpuset.
pub fn pin_current_thread(cpus: &[CpuId]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(cpu.0);
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Whether this process has root's rights.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
