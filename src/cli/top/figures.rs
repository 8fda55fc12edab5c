//! Two snapshots of one server into what is shown: counters become rates, and times those of the interval.
//!
//! Pure: what is not known yet, as after the first snapshot or a restart, is `None`.

use crate::telemetry::snapshot::{Model, Snapshot, Times, Worker};
use std::collections::BTreeMap;

/// How the server stands, and what it did since the snapshot before.
#[derive(Debug)]
pub(super) struct Figures<'a> {
    pub(super) now: &'a Snapshot,
    /// Requests/s that came.
    pub(super) requests: Option<f64>,
    /// Answers/s by class of status, as `2xx`; classes that there never was an answer of are left out, but for those that
    /// everybody looks for.
    pub(super) classes: Vec<(String, Option<f64>)>,
    /// Requests/s by wire, of wires that were ever used.
    pub(super) wires: Vec<(&'a str, Option<f64>)>,
    /// Requests/s whose clients went away.
    pub(super) aborted: Option<f64>,
    /// Work/s that was not taken, by reason, where there was any.
    pub(super) rejected: Vec<(&'a str, f64)>,
    /// Of requests that were answered in the interval.
    pub(super) latency: Option<Times>,
    /// Connections/s that came.
    pub(super) accepted: Option<f64>,
    /// Of one core: 2 is two cores.
    pub(super) cpu: Option<f64>,
    pub(super) workers: Vec<WorkerFigures<'a>>,
    pub(super) models: Vec<ModelFigures<'a>>,
}

/// A worker's.
#[derive(Debug)]
pub(super) struct WorkerFigures<'a> {
    pub(super) now: &'a Worker,
    /// Runs/s.
    pub(super) runs: Option<f64>,
    pub(super) rows: Option<f64>,
    /// Part of the time.
    pub(super) busy: Option<f64>,
}

/// A version's.
#[derive(Debug)]
pub(super) struct ModelFigures<'a> {
    pub(super) now: &'a Model,
    /// Requests/s that were answered, well or not.
    pub(super) requests: Option<f64>,
    pub(super) rows: Option<f64>,
    /// Rows of a run, in the mean.
    pub(super) batch: Option<f64>,
    /// Of requests answered in the interval.
    pub(super) queue: Option<Times>,
    pub(super) prepare: Option<Times>,
    pub(super) run: Option<Times>,
    /// Requests/s that failed.
    pub(super) failed: Option<f64>,
}

/// What models may be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Name,
    Requests,
    Queue,
    Run,
    Failed,
}

impl Order {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Name => Self::Requests,
            Self::Requests => Self::Queue,
            Self::Queue => Self::Run,
            Self::Run => Self::Failed,
            Self::Failed => Self::Name,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Requests => "requests/s",
            Self::Queue => "queue",
            Self::Run => "run time",
            Self::Failed => "failures",
        }
    }
}

impl<'a> Figures<'a> {
    /// Of `now`, against `before` if that is of the same process.
    pub(super) fn of(now: &'a Snapshot, before: Option<&Snapshot>, order: Order) -> Self {
        let since = Since::of(now, before);
        let answered = |snapshot: &Snapshot| by_class(&snapshot.requests.answered);
        let (classes, earlier) = (answered(now), since.before.map(answered).unwrap_or_default());
        let class = |(class, count): (String, u64)| {
            let rate = since.rate(count, earlier.get(&class).copied().unwrap_or_default());
            (class, rate)
        };
        let rejected = now.rejected.iter().filter_map(|(reason, count)| {
            let before = since.before?.rejected.get(reason).copied().unwrap_or_default();
            since.rate(*count, before).filter(|rate| *rate > 0.0).map(|rate| (reason.as_str(), rate))
        });
        let wires = now.requests.answered.iter().filter_map(|(wire, statuses)| {
            let all = |statuses: &BTreeMap<String, u64>| statuses.values().sum::<u64>();
            let before = since.before.and_then(|before| before.requests.answered.get(wire));
            let count = all(statuses);
            (count > 0).then(|| (wire.as_str(), since.rate(count, before.map_or(0, all))))
        });
        let cpu = |snapshot: &Snapshot| snapshot.cpu_s.user + snapshot.cpu_s.system;
        let worker = |worker: &'a Worker| since.worker(worker);
        let mut models: Vec<_> = now.models.iter().map(|model| since.model(model)).collect();
        sort(&mut models, order);
        Self {
            requests: since.counted(|snapshot| snapshot.requests.received),
            classes: classes.into_iter().map(class).collect(),
            wires: wires.collect(),
            aborted: since.counted(|snapshot| snapshot.requests.aborted),
            rejected: rejected.collect(),
            latency: since.before.map(|before| latency(now).since(&latency(before))),
            accepted: since.counted(|snapshot| snapshot.connections.accepted),
            cpu: since.per_second(|snapshot| cpu(snapshot)),
            workers: now.workers.iter().map(worker).collect(),
            models,
            now,
        }
    }
}

/// Of all wires.
fn latency(snapshot: &Snapshot) -> Times {
    snapshot.requests.latency.values().fold(Times::default(), |all, wire| all.with(wire))
}

/// `2xx`, `4xx` and `5xx` are always there.
fn by_class(answered: &BTreeMap<String, BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    let mut classes: BTreeMap<String, u64> = ["2xx", "4xx", "5xx"].map(|class| (class.to_owned(), 0)).into();
    for (status, count) in answered.values().flatten() {
        let class = match status.as_bytes() {
            [digit @ b'1'..=b'5', ..] => format!("{}xx", char::from(*digit)),
            _ => "other".to_owned(),
        };
        *classes.entry(class).or_default() += count;
    }
    classes
}

/// The troubled and busy first, but for names.
fn sort(models: &mut [ModelFigures<'_>], order: Order) {
    let mean = |times: &Option<Times>| times.as_ref().and_then(Times::mean_s).unwrap_or_default();
    let key = |model: &ModelFigures<'_>| match order {
        Order::Name => 0.0,
        Order::Requests => model.requests.unwrap_or_default(),
        Order::Queue => model.now.queue_rows as f64,
        Order::Run => mean(&model.run),
        Order::Failed => model.failed.unwrap_or_default(),
    };
    // Stable: what is equal stays sorted by name.
    models.sort_by(|one, other| key(other).total_cmp(&key(one)));
}

/// What lies between two snapshots.
struct Since<'b> {
    before: Option<&'b Snapshot>,
    now: &'b Snapshot,
    seconds: f64,
}

impl<'b> Since<'b> {
    fn of(now: &'b Snapshot, before: Option<&'b Snapshot>) -> Self {
        let before = before.filter(|before| before.pid == now.pid && before.uptime_s < now.uptime_s);
        Self { before, now, seconds: before.map_or(0.0, |before| now.uptime_s - before.uptime_s) }
    }

    fn per_second(&self, amount: impl Fn(&Snapshot) -> f64) -> Option<f64> {
        let before = self.before?;
        Some((amount(self.now) - amount(before)).max(0.0) / self.seconds)
    }

    fn counted(&self, count: impl Fn(&Snapshot) -> u64) -> Option<f64> {
        self.per_second(|snapshot| count(snapshot) as f64)
    }

    fn rate(&self, now: u64, before: u64) -> Option<f64> {
        self.before?;
        Some(now.saturating_sub(before) as f64 / self.seconds)
    }

    fn worker<'a>(&self, now: &'a Worker) -> WorkerFigures<'a> {
        let before =
            self.before.and_then(|before| before.workers.iter().find(|worker| worker.worker == now.worker));
        let rate = |of: fn(&Worker) -> u64| self.rate(of(now), of(before?));
        // What a worker is at counts as well; it becomes a part of `busy_s` when it is over.
        let busy = |worker: &Worker| worker.done.busy_s + worker.for_s;
        WorkerFigures {
            now,
            runs: rate(|worker| worker.done.executions),
            rows: rate(|worker| worker.done.rows_total),
            busy: before.map(|before| ((busy(now) - busy(before)) / self.seconds).clamp(0.0, 1.0)),
        }
    }

    fn model<'a>(&self, now: &'a Model) -> ModelFigures<'a> {
        let before = self.before.and_then(|before| {
            let same = |model: &&Model| (&model.name, &model.version) == (&now.name, &now.version);
            before.models.iter().find(same)
        });
        let failed = |model: &Model| model.counts.requests_failed.values().sum::<u64>();
        let rate = |of: &dyn Fn(&Model) -> u64| self.rate(of(now), of(before?));
        let runs = rate(&|model| model.counts.executions).filter(|runs| *runs > 0.0);
        let rows_of_runs = rate(&|model| model.counts.executions_rows);
        ModelFigures {
            now,
            requests: rate(&|model| model.counts.requests_success + failed(model)),
            rows: rate(&|model| model.counts.rows),
            batch: rows_of_runs.zip(runs).map(|(rows, runs)| rows / runs),
            queue: before.map(|before| now.time.queue.since(&before.time.queue)),
            prepare: before.map(|before| now.time.prepare.since(&before.time.prepare)),
            run: before.map(|before| now.time.run.since(&before.time.run)),
            failed: rate(&failed),
        }
    }
}

#[cfg(test)]
#[path = "figures_tests.rs"]
mod tests;
