//! What the watchdog looks for in the schedule: whose time is up, and which runs have been under way for too long.

use super::{Closed, Event, Rules, Schedule};
use crate::pool::{
    crew::{Report, Run},
    outcome::Failed,
};
use std::{sync::Arc, time::Instant};

impl Schedule {
    /// Looks at everything that has a time limit.
    pub(in crate::pool) fn tick(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        self.expire(now, &mut events);
        self.watch_runs(now, &mut events);
        self.watch_queues(now, &mut events);
        // A lap more after the last thing that happened: a next one then finds us watching, and need not wake us.
        let lap = std::mem::take(&mut self.active).then(|| now + self.rules.slow_after);
        self.alarm = self.next_alarm(now).into_iter().chain(lap).min();
        events
    }

    fn expire(&mut self, now: Instant, events: &mut Vec<Event>) {
        for lane in self.lanes.values_mut() {
            let expired = lane.queue.remove_expired(now);
            self.given_up.tell(expired, events, |job| Failed::Deadline(job.deadline));
        }
        for (_, _, run) in self.crew.busy() {
            for part in run.parts.iter_mut().filter(|part| !part.over && part.deadline <= now) {
                part.over = true;
                events.push(Event::Fail(Arc::clone(&part.caller), Failed::Deadline(part.deadline)));
            }
            events.extend(run.terminate_if_over(now).map(Event::Terminate));
        }
    }

    fn watch_runs(&mut self, now: Instant, events: &mut Vec<Event>) {
        let Rules { slow_after, stuck_after, max_stuck, .. } = self.rules;
        let mut slow = 0;
        for (worker, thread, run) in self.crew.busy() {
            let lane = self.lanes.get_mut(&run.lane);
            let running = now - run.begun;
            let report = |run: &Run| Report {
                lane: Arc::clone(&run.name),
                worker,
                thread,
                running,
                requests: run.parts.iter().map(|part| part.request.clone()).collect(),
            };
            if !run.slow && running >= slow_after {
                run.slow = true;
                slow += 1;
                events.push(Event::Slow(report(run)));
            } else if let Some(terminated) = run.terminated
                && !run.stuck
                && now - terminated >= stuck_after
            {
                run.stuck = true;
                self.stuck += 1;
                let report = report(run);
                if let Some(lane) = lane {
                    let reason = format!(
                        "it is closed: worker {worker} is stuck in a run of it, which did not end when told to"
                    );
                    let waiting = lane.queue.clear();
                    self.given_up.tell(waiting, &mut *events, |_| Failed::Closed(reason.clone()));
                    lane.stuck.insert(worker, Closed { reason, since: now });
                }
                events.push(Event::Stuck(report));
                if self.stuck >= max_stuck {
                    events.push(Event::Fatal(format!(
                        "{} runs are stuck (max_stuck = {max_stuck})",
                        self.stuck
                    )));
                }
            }
        }
        events.extend(self.crew.replace(slow).into_iter().map(Event::Spare));
    }

    fn next_alarm(&self, now: Instant) -> Option<Instant> {
        let Rules { slow_after, stuck_after, .. } = self.rules;
        let lanes = self
            .lanes
            .values()
            .flat_map(|lane| [lane.queue.deadline(), lane.queue.due(now).later(), lane.eases_at(now)]);
        let runs = self.crew.runs().filter_map(|run| run.alarm(slow_after, stuck_after));
        lanes.flatten().chain(runs).min()
    }
}
