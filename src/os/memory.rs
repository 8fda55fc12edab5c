//! How much memory we may use: the machine's, or less where the cgroup says so.

use super::cgroup::{self, Version};
use std::fs;

/// Bytes, as far as the kernel tells.
#[must_use]
pub fn allowed() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let total = total_from(&read("/proc/meminfo")?)?;
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    Some(limit_from(&groups, read).map_or(total, |limit| limit.min(total)))
}

fn total_from(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Reads the limit of each group: the smallest of them binds.
fn limit_from(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let limit = |(version, folder): (Version, String)| {
        let file = match version {
            Version::V2 => "memory.max",
            Version::V1 => "memory.limit_in_bytes",
        };
        // `max` is no number, and no limit.
        read(&format!("{folder}/{file}"))?.trim().parse().ok()
    };
    cgroup::folders(groups, "memory").into_iter().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_on_the_way_to_the_root_binds() {
        for (groups, files, expected) in [
            ("0::/a/b\n", &[("/sys/fs/cgroup/a/b/memory.max", "max\n")][..], None),
            (
                "0::/a/b\n",
                &[("/sys/fs/cgroup/a/b/memory.max", "4096\n"), ("/sys/fs/cgroup/a/memory.max", "1024")],
                Some(1024),
            ),
            ("3:memory:/x\n", &[("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "77\n")], Some(77)),
            ("", &[], None),
        ] {
            let read =
                |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
            assert_eq!(limit_from(groups, read), expected, "{groups:?}");
        }
    }

    #[test]
    fn this_machine_has_memory() {
        assert_eq!(total_from("MemTotal:       24576 kB\nMemFree: 1 kB\n"), Some(24576 * 1024));
        assert!(allowed().is_some_and(|bytes| bytes > 1 << 20));
    }
}
