//! How long things took, by how many of them were within each of a row of bounds.
//!
//! To count costs an addition: what is under a lock anyway uses [`Histogram`], what is not [`SharedHistogram`].

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const BOUND_COUNT: usize = 19;
const BUCKET_COUNT: usize = BOUND_COUNT + 1;

/// What a bucket holds takes no longer than its bound and longer than that of the one before; the last bucket has no bound.
pub const BOUNDS: [Duration; BOUND_COUNT] = [
    Duration::from_micros(20),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Times, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Of each bucket alone.
    counts: [u64; BUCKET_COUNT],
    sum: Duration,
}

impl Histogram {
    /// One more, that took so long.
    pub fn record(&mut self, time: Duration) {
        self.counts[bucket(time)] += 1;
        self.sum += time;
    }

    /// How many there are in each bucket.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took, all together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

/// Times that several threads count. Who reads it while it is written to may find one counted whose time is not yet.
#[derive(Debug)]
pub struct SharedHistogram {
    counts: [AtomicU64; BUCKET_COUNT],
    nanoseconds: AtomicU64,
}

impl Default for SharedHistogram {
    fn default() -> Self {
        Self { counts: array::from_fn(|_| AtomicU64::new(0)), nanoseconds: AtomicU64::new(0) }
    }
}

impl SharedHistogram {
    /// One more, that took so long.
    pub fn record(&self, time: Duration) {
        self.counts[bucket(time)].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What has been counted so far.
    #[must_use]
    pub fn look(&self) -> Histogram {
        Histogram {
            counts: array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}

fn bucket(time: Duration) -> usize {
    BOUNDS.partition_point(|bound| *bound < time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        assert!(BOUNDS.is_sorted_by(|one, next| one < next));
        let (mut histogram, shared) = (Histogram::default(), SharedHistogram::default());
        for (time, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_micros(20), 0),
            (Duration::from_nanos(20_001), 1),
            (Duration::from_secs(30), BOUND_COUNT - 1),
            (Duration::from_secs(31), BOUND_COUNT),
            (Duration::from_secs(1 << 30), BOUND_COUNT),
        ] {
            let before = histogram.counts()[expected];
            histogram.record(time);
            shared.record(time);
            assert_eq!(histogram.counts()[expected], before + 1, "{time:?}");
        }
        assert_eq!(histogram.count(), 6);
        assert_eq!(shared.look(), histogram);
    }
}
