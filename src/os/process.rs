//! This process and its threads: environment, descriptors, affinity.
//!
//! One of the two files where `unsafe` may stand.
#![allow(unsafe_code)]

use super::cpus::CpuId;
use rustix::{
    process::{Pid, Resource, Rlimit},
    thread::CpuSet,
};
use std::{
    env, fs, io,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

/// Keeps ONNX Runtime from calling home: it has no other switch that works once its library is open. False where the variable
/// is not set and can no longer be, since there are other threads.
///
/// To be called first thing in `main`.
#[must_use]
pub fn disable_onnxruntime_telemetry() -> bool {
    const NAME: &str = "ORT_DISABLE_TELEMETRY";
    if env::var_os(NAME).is_some_and(|value| value == "1") {
        return true;
    }
    let alone = is_alone();
    if alone {
        // SAFETY: setting a variable is unsound only beside another thread that reads the environment. There is no other
        // thread, and only this one could start one.
        unsafe { env::set_var(NAME, "1") };
    }
    alone
}

fn is_alone() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Takes variables that are meant for this process out of the environment, so that no child thinks that they are for it. They
/// stay in it where there are other threads already.
///
/// To be called first thing in `main`.
pub fn take_variables<const N: usize>(names: [&str; N]) -> [Option<String>; N] {
    let alone = is_alone();
    names.map(|name| {
        let value = env::var(name).ok();
        if alone && value.is_some() {
            // SAFETY: as above, there is no other thread that could read the environment now.
            unsafe { env::remove_var(name) };
        }
        value
    })
}

/// The descriptors from `first` on that whoever started this process has left open for it; `None` for one that is not open.
/// Only the first call gives any.
///
/// To be called first thing in `main`, before this process has opened something itself.
pub(crate) fn take_descriptors(first: RawFd, count: usize) -> Vec<Option<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    // Standard input, output and error belong to the standard library.
    if first <= 2 || TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let take = |number: RawFd| {
        // SAFETY: it is borrowed for this one call, which fails for a descriptor that is not open and changes nothing but
        // its flag.
        let open =
            rustix::io::fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, rustix::io::FdFlags::CLOEXEC);
        // SAFETY: it is open. Descriptors over 2 that are open when `main` begins belong to nobody in this process, and
        // no second call gives them away again.
        open.is_ok().then(|| unsafe { OwnedFd::from_raw_fd(number) })
    };
    (first..).take(count).map(take).collect()
}

/// Lets this process open as many files as it may allow itself: the soft limit is low for the sake of programs that call
/// select(2), which this is not.
pub fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where that is refused, the limit stays what it was; the log tells it.
        let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// How many files this process may have open; `None` where there is no limit.
#[must_use]
pub fn open_files() -> Option<u64> {
    rustix::process::getrlimit(Resource::Nofile).current
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

/// What Linux calls a thread of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadId(Pid);

/// The calling thread.
#[must_use]
pub fn current_thread() -> ThreadId {
    ThreadId(rustix::thread::gettid())
}

/// Lets `thread` run on all of `cpus`, and only when nothing else wants to. It cannot be undone without rights.
///
/// # Errors
/// Where the kernel refuses, or the thread is gone.
pub fn push_aside(thread: ThreadId, cpus: &[CpuId]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(cpu.0);
    }
    rustix::thread::sched_setaffinity(Some(thread.0), &set)?;
    // Linux takes a thread's id for a process' and changes that thread alone: setpriority(2), "C library/kernel differences".
    rustix::process::setpriority_process(Some(thread.0), 19)?;
    Ok(())
}

/// Gives the calling thread, and threads that it starts, about a tenth of the share of others where a core is wanted by
/// several. It cannot be undone without rights.
///
/// # Errors
/// Where the kernel refuses.
pub fn yield_to_others() -> io::Result<()> {
    // Of the calling thread alone, as in `push_aside`.
    Ok(rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10)?)
}

/// The core that `thread` ran on last, as far as the kernel tells.
#[must_use]
pub fn core_of(thread: ThreadId) -> Option<usize> {
    let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", thread.0.as_raw_nonzero())).ok()?;
    // proc_pid_stat(5): the name in parentheses is the second field, the processor the 39th.
    stat.rsplit_once(')')?.1.split_whitespace().nth(36)?.parse().ok()
}

/// Gives memory that has been freed back to the system, which the allocator would rather keep.
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number and may be called at any time from any thread: malloc_trim(3).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Ends the process at once: no destructors, no exit handlers. For when a thread cannot be ended, since the libraries' own
/// handlers would pull the ground from under it.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: it has no preconditions: _exit(2).
    unsafe { libc::_exit(code.into()) }
}

/// Whose this process is: the numbers of user and group.
#[must_use]
pub fn owner() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Whether this process has root's rights.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
