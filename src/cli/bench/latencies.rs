//! How long many things took, in little memory however many they are: counts by size, no size wider than a thirty-second of
//! itself.

use std::time::Duration;

/// Steps between a power of two and the next.
const STEPS: usize = 32;
/// Of nanoseconds in 64 bits: those below twice `STEPS` one by one, then `STEPS` for each further bit.
const SIZES: usize = 60 * STEPS;

/// The counts.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    all: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; SIZES], all: 0 }
    }
}

impl Latencies {
    pub(super) fn record(&mut self, time: Duration) {
        self.counts[place(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))] += 1;
        self.all += 1;
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.all
    }

    pub(super) fn add(&mut self, others: &Self) {
        self.counts.iter_mut().zip(&others.counts).for_each(|(count, other)| *count += other);
        self.all += others.all;
    }

    /// What a `share` of them took at most; `None` where there are none.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.all as f64 * share).ceil() as u64).max(1);
        let mut so_far = 0;
        let at = self.counts.iter().position(|count| {
            so_far += count;
            so_far >= wanted
        })?;
        Some(Duration::from_nanos(middle(at)))
    }
}

fn place(nanos: u64) -> usize {
    let bits = (u64::BITS - nanos.leading_zeros()) as usize;
    // Of larger ones only the first bits are looked at, which are those of STEPS and more.
    let shift = bits.saturating_sub(STEPS.ilog2() as usize + 1);
    shift * STEPS + (nanos >> shift) as usize
}

fn middle(place: usize) -> u64 {
    let shift = (place / STEPS).saturating_sub(1);
    (((place - shift * STEPS) as u64) << shift) + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_has_a_place_whose_middle_is_near_it() {
        let mut before = 0;
        let small = 0..5000;
        let large = (13..64).flat_map(|bit| [0, 1, 7].map(|more| (1 << bit) | (more << (bit - 4))));
        for nanos in small.chain(large).chain([u64::MAX]) {
            let at = place(nanos);
            assert!(at >= before && at < SIZES, "{nanos} at {at}, after {before}");
            before = at;
            let off = middle(at).abs_diff(nanos);
            assert!(off <= nanos / 60, "{nanos} is {} here", middle(at));
        }
    }

    #[test]
    fn quantiles_are_of_all_that_were_added() {
        let times = |millis: std::ops::RangeInclusive<u64>| {
            let mut times = Latencies::default();
            millis.for_each(|millis| times.record(Duration::from_millis(millis)));
            times
        };
        let mut all = times(51..=100);
        all.add(&times(1..=50));
        assert_eq!(all.count(), 100);
        for (share, millis) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let got = all.quantile(share).unwrap().as_secs_f64() * 1e3;
            assert!((got - millis).abs() <= millis / 50.0, "{share}: {got}, expected {millis}");
        }
        assert_eq!(Latencies::default().quantile(0.5), None);
    }
}
