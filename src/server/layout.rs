//! Which workers there are, and on which cores.

use crate::{
    config::{Config, Pin},
    os::cpus::{self, CpuId},
};
use std::{fmt, io};

/// Which workers there are, and on which cores.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    allowed: usize,
    /// Of the cgroup, in cores.
    quota: Option<f64>,
    pub threads: usize,
    pub workers: Vec<Vec<CpuId>>,
}

impl Layout {
    pub(super) fn of(config: &Config) -> io::Result<Self> {
        Ok(Self::plan(&cpus::allowed()?, cpus::quota(), config))
    }

    fn plan(allowed: &[CpuId], quota: Option<f64>, config: &Config) -> Self {
        let threads = config.workers.threads;
        let count = config.workers.count.unwrap_or_else(|| cpus::workers(allowed.len(), quota, threads));
        let cores: &[CpuId] = match &config.workers.pin {
            Pin::Off => &[],
            Pin::Auto => allowed,
            Pin::Cpus(cpus) => cpus,
        };
        // Each worker has the next cores, from the first again when they run out.
        let place = |worker: usize| -> Vec<CpuId> {
            cores.iter().copied().cycle().skip(worker * threads % cores.len().max(1)).take(threads).collect()
        };
        Self { allowed: allowed.len(), quota, threads, workers: (0..count).map(place).collect() }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (allowed, count, threads) = (self.allowed, self.workers.len(), self.threads);
        write!(f, "{allowed} core{} allowed", plural(allowed))?;
        if let Some(quota) = self.quota.filter(|quota| *quota < allowed as f64) {
            write!(f, ", of whose time the cgroup grants {quota:.1}")?;
        }
        write!(f, ", {count} worker{}", plural(count))?;
        write!(f, " x {threads} thread{}, ", plural(threads))?;
        if self.workers.iter().all(Vec::is_empty) {
            return f.write_str("not pinned");
        }
        f.write_str("pinned to ")?;
        for (at, cores) in self.workers.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
            write!(f, "{comma}{}", cores.join("+"))?;
        }
        Ok(())
    }
}
