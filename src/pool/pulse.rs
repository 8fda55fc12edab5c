//! Whether the pool makes progress, for whoever would rather have a new process than one that does not.
//!
//! To have nothing to do is progress; so is a run that takes its time, since others go on beside it. What is not: work that
//! could be taken and is not, look after look, or an alarm that nobody hears.

use super::{Pool, schedule::Schedule};
use std::time::{Duration, Instant};

/// How much later than it should be anything may be.
const GRACE: Duration = Duration::from_secs(5);

/// What was seen when it was looked last.
#[derive(Debug, Default)]
pub struct Pulse {
    taken: u64,
    /// Since when nothing has been taken although there was something to take.
    still: Option<Instant>,
}

impl Pulse {
    /// Looks again. Blocks for as long as the pool's own lock is held.
    pub fn beats(&mut self, pool: &Pool) -> bool {
        let grace = GRACE + pool.shared.options.slow_after;
        self.look(&pool.shared.monitor.lock(), grace, Instant::now())
    }

    fn look(&mut self, schedule: &Schedule, grace: Duration, now: Instant) -> bool {
        let taken = std::mem::replace(&mut self.taken, schedule.taken());
        let still = schedule.has_work(now) && taken == self.taken;
        self.still = still.then(|| self.still.unwrap_or(now));
        let heard = schedule.alarm().is_none_or(|alarm| now < alarm + grace);
        heard && self.still.is_none_or(|since| now < since + grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::model::Fake as Behaviour,
        model::fake::Fake,
        pool::{
            Batching,
            job::tests::{job_for, slot},
            schedule::Rules,
        },
    };
    use predictd_protocol::inference::tensor::Tensor;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_could_be_taken_and_is_not_is_no_progress() {
        let rules = Rules { places: 1, slow_after: SECOND / 4, stuck_after: 5 * SECOND, max_stuck: 2 };
        let mut schedule = Schedule::new(rules);
        let batching =
            Batching { has_rows: true, joins: false, max_rows: 1, max_delay: Duration::ZERO, queue: 16 };
        let lane = schedule.open_lane("m".into(), Arc::new(Fake::new(Behaviour::default())), batching);
        let (mut pulse, mut now) = (Pulse::default(), Instant::now());
        let submit = |schedule: &mut Schedule, id, now: Instant| {
            let job = job_for(id, now, now + 600 * SECOND, &slot(now));
            let row = Tensor::from_numbers(vec![1, 1], vec![0f32]).unwrap();
            schedule.submit(lane, job, Some(vec![row]), now).unwrap();
        };
        assert!(pulse.look(&schedule, GRACE, now), "nothing to do");
        now += 3600 * SECOND;
        for id in 0..3 {
            submit(&mut schedule, id, now);
            assert!(pulse.look(&schedule, GRACE, now), "it has only just come");
        }
        now += 4 * SECOND;
        schedule.tick(now);
        assert!(pulse.look(&schedule, GRACE, now));
        schedule.take(1, 1, now).unwrap();
        now += 2 * SECOND;
        schedule.tick(now);
        assert!(pulse.look(&schedule, GRACE, now), "one was taken");
        // The only place is taken by a run that is long.
        now += 300 * SECOND;
        schedule.tick(now);
        assert!(pulse.look(&schedule, GRACE, now));
        schedule.end(1, now);
        assert!(pulse.look(&schedule, GRACE, now));
        now += 6 * SECOND;
        schedule.tick(now);
        assert!(!pulse.look(&schedule, GRACE, now), "there is a place, and nobody takes what waits");
        schedule.take(1, 1, now).unwrap();
        assert!(pulse.look(&schedule, GRACE, now));
    }

    #[test]
    fn an_alarm_that_nobody_hears_is_no_progress() {
        let rules = Rules { places: 1, slow_after: SECOND / 4, stuck_after: 5 * SECOND, max_stuck: 2 };
        let mut schedule = Schedule::new(rules);
        let batching =
            Batching { has_rows: true, joins: false, max_rows: 1, max_delay: Duration::ZERO, queue: 16 };
        let lane = schedule.open_lane("m".into(), Arc::new(Fake::new(Behaviour::default())), batching);
        let (mut pulse, now) = (Pulse::default(), Instant::now());
        let row = Tensor::from_numbers(vec![1, 1], vec![0f32]).unwrap();
        schedule.submit(lane, job_for(1, now, now + SECOND, &slot(now)), Some(vec![row]), now).unwrap();
        schedule.take(1, 1, now).unwrap();
        assert!(pulse.look(&schedule, GRACE, now + 4 * SECOND));
        assert!(!pulse.look(&schedule, GRACE, now + 6 * SECOND));
        schedule.tick(now + 6 * SECOND);
        assert!(pulse.look(&schedule, GRACE, now + 6 * SECOND));
    }
}
