//! Requests that are refused: counted, and told of as one thing where a queue is full for a while.

use super::{Event, Lane, LaneId, Rejected, Schedule};
use crate::telemetry::episode::Episode;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often it is looked whether a queue that nothing is refused by any more has become shorter.
const LOOK: Duration = Duration::from_millis(250);

impl Schedule {
    /// A request was not taken. What has just begun is told by the watchdog: see [`has_news`](Self::has_news).
    pub(super) fn note_rejected(&mut self, id: LaneId, why: &Rejected, now: Instant) {
        self.rejected.count(why);
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        match why {
            Rejected::Full(waiting) => {
                if lane.full.is_none() {
                    self.news.push(Event::Full(Arc::clone(&lane.name), *waiting));
                }
                lane.full.get_or_insert_with(|| Episode::begin(now)).seen(now, 1, *waiting as u64);
            }
            Rejected::Closed(_) => lane.refused += 1,
            Rejected::Stopped => {}
        }
    }

    /// Whether the watchdog is to look now.
    pub(in crate::pool) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Tells what has begun, and of the queues that are full no longer: where nothing was refused for a while, and not even half
    /// of what may wait does.
    pub(super) fn watch_queues(&mut self, now: Instant, events: &mut Vec<Event>) {
        events.append(&mut self.news);
        for lane in self.lanes.values_mut() {
            if let Some(full) = lane.full.take_if(|full| full.is_over(now) && lane.queue.is_half_empty()) {
                events.push(Event::Eased(Arc::clone(&lane.name), full));
            }
        }
    }
}

impl Lane {
    /// When it is next to be looked whether its queue is still full.
    pub(super) fn eases_at(&self, now: Instant) -> Option<Instant> {
        let full = self.full.as_ref()?;
        Some(if full.is_over(now) { now + LOOK } else { full.over_at() })
    }
}
