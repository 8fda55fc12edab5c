//! Something that is wrong for a while: it begins when it is seen first, and is over when it has not been seen for some time.
//! So that what comes and goes many times a second is one thing, with one line in the log for its begin and one for its end.

use std::time::{Duration, Instant};

/// How long it must not be seen.
const QUIET: Duration = Duration::from_secs(1);

/// Since when it is there, how often it was seen, how bad it was at worst. Time is an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    begun: Instant,
    last: Instant,
    /// How often it was seen, or what else is counted.
    pub count: u64,
    /// The largest value seen.
    pub peak: u64,
}

impl Episode {
    /// One that begins now.
    #[must_use]
    pub fn begin(now: Instant) -> Self {
        Self { begun: now, last: now, count: 0, peak: 0 }
    }

    /// It is there: `count` times more, and as bad as `value`.
    pub fn seen(&mut self, now: Instant, count: u64, value: u64) {
        self.last = now;
        self.count += count;
        self.peak = self.peak.max(value);
    }

    /// When it began.
    #[must_use]
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Until it was seen last.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        self.last - self.begun
    }

    /// The same in seconds, as the log has it: to the millisecond.
    #[must_use]
    pub fn lasted_s(&self) -> f64 {
        self.lasted().as_millis() as f64 / 1e3
    }

    /// When it will be over, if it is not seen before.
    #[must_use]
    pub fn over_at(&self) -> Instant {
        self.last + QUIET
    }

    /// Whether it is.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.over_at() <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_one_thing_and_ends_when_it_stays_away() {
        let begun = Instant::now();
        let mut episode = Episode::begin(begun);
        let mut now = begun;
        for value in [3, 9, 4] {
            now += QUIET * 3 / 4;
            assert!(!episode.is_over(now));
            episode.seen(now, 2, value);
        }
        assert!(!episode.is_over(now + QUIET / 2) && episode.is_over(now + QUIET));
        assert_eq!((episode.count, episode.peak, episode.lasted()), (6, 9, now - begun));
        assert_eq!((episode.begun(), episode.over_at()), (begun, now + QUIET));
        assert_eq!(episode.lasted_s(), 2.25);
    }
}
