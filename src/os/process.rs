//! This process and its threads: environment, affinity.
//!
//! One of the two files where `unsafe` may stand.
#![allow(unsafe_code)]

use super::cpus::CpuId;
use rustix::thread::CpuSet;
use std::io;

/// Keeps ONNX Runtime from calling home: it has no other switch that works once its library is open. False where the variable
/// is not set and can no longer be, since there are other threads.
///
/// To be called first thing in `main`.
#[must_use]
pub fn disable_onnxruntime_telemetry() -> bool {
    const NAME: &str = "ORT_DISABLE_TELEMETRY";
    if std::env::var_os(NAME).is_some_and(|value| value == "1") {
        return true;
    }
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if alone {
        // SAFETY: setting a variable is unsound only beside another thread that reads the environment. There is no other
        // thread, and only this one could start one.
        unsafe { std::env::set_var(NAME, "1") };
    }
    alone
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
