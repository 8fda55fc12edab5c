//! Which cores we may use: the affinity mask and the cgroup's quota, never the host's count.

use super::cgroup::{self, Version};
use rustix::thread::CpuSet;
use std::{fmt, fs, io};

/// The number that Linux gives a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuId(pub usize);

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The cores that this process may run on, at least one.
///
/// # Errors
/// Where the kernel does not tell the affinity mask.
pub fn allowed() -> io::Result<Vec<CpuId>> {
    let mask = rustix::thread::sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).map(CpuId).collect())
}

/// How many cores' worth of time the cgroup grants, or `None` where it sets no bound.
#[must_use]
pub fn quota() -> Option<f64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    quota_from(&groups, |path| fs::read_to_string(path).ok())
}

/// Reads the quota of each group: the smallest of them binds.
fn quota_from(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<f64> {
    let quota = |(version, folder): (Version, String)| match version {
        Version::V2 => ratio(read(&format!("{folder}/cpu.max"))?.split_whitespace()),
        Version::V1 => {
            let file = |name| read(&format!("{folder}/cpu.cfs_{name}_us"));
            let (quota, period) = (file("quota")?, file("period")?);
            ratio([quota.trim(), period.trim()].into_iter())
        }
    };
    cgroup::folders(groups, "cpu").into_iter().filter_map(quota).reduce(f64::min)
}

/// `200000 100000` is two cores; `max` and `-1` are no bound.
fn ratio<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<f64> {
    let quota: f64 = fields.next()?.parse().ok()?;
    let period: f64 = fields.next()?.parse().ok()?;
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// How many workers of `threads` cores each fit: one per allowed core, no more than the quota rounded up.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a quota is a small positive number"
)]
pub fn workers(allowed: usize, quota: Option<f64>, threads: usize) -> usize {
    let granted = quota.map_or(allowed, |quota| allowed.min(quota.ceil() as usize));
    (granted / threads.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_fit_the_mask_and_the_quota() {
        for (allowed, quota, threads, expected) in [
            (8, None, 1, 8),
            (8, Some(2.0), 1, 2),
            (8, Some(1.5), 1, 2),
            (2, Some(64.0), 1, 2),
            (8, Some(0.1), 1, 1),
            (8, None, 4, 2),
            (8, Some(3.0), 2, 1),
            (1, None, 4, 1),
        ] {
            assert_eq!(workers(allowed, quota, threads), expected, "{allowed} {quota:?} {threads}");
        }
    }

    fn check(groups: &str, files: &[(&str, &str)], expected: Option<f64>) {
        let read =
            |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
        assert_eq!(quota_from(groups, read), expected, "{groups:?} {files:?}");
    }

    #[test]
    fn the_smallest_quota_on_the_way_to_the_root_binds() {
        check("0::/a/b\n", &[("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n")], None);
        check("0::/a/b\n", &[("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n")], Some(1.5));
        let nested =
            [("/sys/fs/cgroup/a/b/cpu.max", "400000 100000"), ("/sys/fs/cgroup/a/cpu.max", "200000 100000")];
        check("0::/a/b\n", &nested, Some(2.0));
        check("0::/\n", &[("/sys/fs/cgroup/cpu.max", "50000 100000")], Some(0.5));
        check("", &[], None);
    }

    #[test]
    fn version_one_groups_are_read_too() {
        let v1 = |quota| {
            [
                ("/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", quota),
                ("/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n"),
            ]
        };
        let groups = "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n";
        check(groups, &v1("300000\n"), Some(3.0));
        check(groups, &v1("-1\n"), None);
    }

    #[test]
    fn this_process_may_run_somewhere() {
        assert!(!allowed().unwrap().is_empty());
    }
}
