//! What this process uses: processors, memory, descriptors, as `/proc` tells.

use rustix::param;
use std::{fs, time::Duration};

/// At one moment; zero where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Time of processors in the program.
    pub user: Duration,
    /// Time of processors in the kernel.
    pub system: Duration,
    /// Bytes in physical memory.
    pub resident: u64,
    /// Bytes of addresses.
    pub addresses: u64,
    /// Descriptors that are open.
    pub open_files: u64,
    /// When the process was started, in seconds since the epoch.
    pub started: Option<f64>,
}

/// That of now. Reads files of `/proc`: for no thread that has to be quick.
#[must_use]
pub fn usage() -> Usage {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let usage = from_stat(&read("/proc/self/stat"), &read("/proc/stat"), param::clock_ticks_per_second());
    let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
    // One of them is the folder that they are read from.
    Usage { open_files: files.saturating_sub(1), ..usage.unwrap_or_default() }
}

/// `own` is of proc_pid_stat(5), `all` of proc_stat(5).
fn from_stat(own: &str, all: &str, ticks: u64) -> Option<Usage> {
    // The name in parentheses, which may hold anything, is the second field.
    let fields: Vec<&str> = own.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let seconds = |number| Some(field(number)? as f64 / ticks as f64);
    let booted = all.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    Some(Usage {
        user: Duration::from_secs_f64(seconds(14)?),
        system: Duration::from_secs_f64(seconds(15)?),
        started: booted.zip(seconds(22)).map(|(booted, after)| booted + after),
        addresses: field(23)?,
        resident: field(24)?.saturating_mul(param::page_size() as u64),
        open_files: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_program_is_called() {
        let own = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 4 0 1000 4096000 3 184 1 1 0 0";
        let usage = from_stat(own, "cpu 1 2\nbtime 1700000000\n", 100).unwrap();
        assert_eq!((usage.user.as_millis(), usage.system.as_millis()), (2500, 500));
        assert_eq!((usage.addresses, usage.resident), (4_096_000, 3 * param::page_size() as u64));
        assert_eq!(usage.started, Some(1_700_000_010.0));
        for cut in 0..own.len() {
            let _ = from_stat(&own[..cut], "", 100);
        }
    }

    #[test]
    fn this_process_uses_something() {
        let _file = fs::File::open("/proc/self/stat").unwrap();
        let usage = usage();
        assert!(usage.resident > 1 << 20 && usage.addresses >= usage.resident && usage.open_files >= 3);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(usage.started.is_some_and(|started| started < now + 2.0 && started > now - 86400.0 * 30.0));
    }
}
