//! How the server stands at one moment: plain data, taken in one place and shown by several faces.
//!
//! `GET /status` is this as JSON. Members that end in `_s` are numbers of seconds, in `_bytes` of bytes; counters count from the
//! start of the process, those of a model from when that version was loaded.

use super::histogram::{self, Histogram};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `predictd`
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Of the process.
    pub pid: u32,
    /// Where it stands in its life.
    pub phase: String,
    /// What `/v2/health/ready` says.
    pub ready: bool,
    /// When this was taken, in seconds since the epoch.
    pub time_s: f64,
    /// Since the server began.
    pub uptime_s: f64,
    /// When the process was started, in seconds since the epoch, if the kernel tells.
    pub started_s: Option<f64>,
    /// What the process has used of all cores.
    pub cpu_s: Cpu,
    /// What it holds.
    pub memory: Memory,
    /// What it has open.
    pub files: Files,
    /// What is done to the models, if anything.
    pub loading: Option<Loading>,
    /// What became of all that was loaded.
    pub loads: Loads,
    /// Those of the public addresses.
    pub connections: Connections,
    /// Those of the public addresses.
    pub requests: Requests,
    /// Work that was not taken, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Where the server listens.
    pub sockets: Vec<Socket>,
    /// The threads that run models: the workers, then those that stand in for slow ones.
    pub workers: Vec<Worker>,
    /// What workers did that stood in for others and have left since.
    pub former_workers: Done,
    /// Every version of every model, by name; also a model that has none.
    pub models: Vec<Model>,
    /// Runs that did not end when they were told to.
    pub stuck: Vec<Stuck>,
    /// What is wrong right now, the oldest first.
    pub alarms: Vec<Alarm>,
    /// The bounds of the buckets of all times; there is a bucket more, which has none.
    pub bucket_bounds_s: Vec<f64>,
}

/// Time of processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// In the program.
    pub user: f64,
    /// In the kernel for it.
    pub system: f64,
}

/// Memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Of the process, in physical memory.
    pub rss_bytes: u64,
    /// Of the process, claimed.
    pub virtual_bytes: u64,
    /// Of requests, held now.
    pub in_flight_bytes: u64,
    /// Of requests, at most: `limits.in_flight`.
    pub in_flight_limit_bytes: u64,
}

/// Descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// How many are open.
    pub open: u64,
    /// How many may be, if that is bounded.
    pub limit: Option<u64>,
}

/// Something that is done to the models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loading {
    /// What.
    pub operation: String,
    /// The model that it is at.
    pub model: Option<String>,
    /// For how long.
    pub for_s: f64,
}

/// What became of models that were to be loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loads {
    /// Versions that were, and answer or did.
    pub loaded: u64,
    /// Models that were not, or not completely.
    pub failed: u64,
}

/// Connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Those that are there.
    pub open: u64,
    /// How many there may be: `limits.connections`.
    pub limit: u64,
    /// All that have come.
    pub accepted: u64,
    /// Of these, the ones of users who may not connect: `socket.allow_users`.
    pub refused: u64,
}

/// Requests. received = answered + aborted + under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// All that have come.
    pub received: u64,
    /// Those that have no answer yet.
    pub under_way: u64,
    /// Those whose clients went away before they had one.
    pub aborted: u64,
    /// Those that were answered, by wire and status. `other` are statuses that are none of the server's own.
    pub answered: BTreeMap<String, BTreeMap<String, u64>>,
    /// From when a request was there in full until it had its answer, by wire.
    pub latency: BTreeMap<String, Times>,
    /// The same by wire and route.
    pub routes: Vec<Route>,
}

/// Requests by one wire to one route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The wire.
    pub wire: String,
    /// The template of the paths; `other` for paths that there are none of, and requests that were refused unread.
    pub route: String,
    /// Those that were answered, by status.
    pub answered: BTreeMap<String, u64>,
    /// How long that took.
    pub time: Times,
}

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many there were.
    pub count: u64,
    /// All together.
    pub total_s: f64,
    /// Half of them took no longer than this, as far as the buckets tell; null where there are none.
    pub p50_s: Option<f64>,
    /// Of a hundred, 99 took no longer than this.
    pub p99_s: Option<f64>,
    /// How many there are in each bucket alone.
    pub buckets: Vec<u64>,
}

/// A socket that connections come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Where.
    pub address: String,
    /// What is spoken there.
    pub wires: Vec<String>,
    /// Whether it is a Unix socket.
    pub unix: bool,
    /// Whether it is the admin interface's.
    pub admin: bool,
    /// Connections that wait to be accepted, if the kernel tells.
    pub waiting: Option<u32>,
    /// How many may.
    pub backlog: Option<u32>,
}

/// A thread that runs models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its number, from 1.
    pub worker: usize,
    /// The core that it is pinned to, the first if there are several; null where it is not.
    pub cpu: Option<usize>,
    /// Whether it stands in for a slow one.
    pub spare: bool,
    /// How often its thread was started: anew after a stuck run.
    pub starts: u64,
    /// For how long that is there.
    pub up_s: f64,
    /// `idle`, `preparing`, `running`, `slow` or `stuck`.
    pub state: String,
    /// Whose request it is at.
    pub model: Option<String>,
    /// That model's version.
    pub version: Option<String>,
    /// The rows of what it is at.
    pub rows: usize,
    /// How long it has been at that; 0 where it is at nothing.
    pub for_s: f64,
    /// The first four of the requests that it is for.
    pub requests: Vec<String>,
    /// Of each of these, the method and what it asks for; empty where the server itself asks.
    pub lines: Vec<String>,
    /// Of the bodies of the answers that it made. A spare's also those of the spares before it that had its number.
    pub sent_bytes: u64,
    /// What it has done.
    #[serde(flatten)]
    pub done: Done,
}

/// What workers have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Runs of models.
    pub executions: u64,
    /// Their rows.
    pub rows_total: u64,
    /// Requests that were in runs to the end, whatever that was.
    pub requests_total: u64,
    /// Bodies that they made tensors of, and other work for requests.
    pub prepared: u64,
    /// Of the runs, those that failed or panicked.
    pub exceptions: u64,
    /// Of the runs, those that were told to end: nobody waited for them any more.
    pub terminated: u64,
    /// How long they were at all that. What they are at now counts when it is over.
    pub busy_s: f64,
}

/// A version of a model, or a model that has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The model's.
    pub name: String,
    /// Its number, where it is known.
    pub version: Option<String>,
    /// `loading`, `ready`, `closed`, `unloading` or `unavailable`.
    pub state: String,
    /// For how long.
    pub for_s: f64,
    /// Why it does not answer, or not as it should.
    pub reason: Option<String>,
    /// Rows that wait.
    pub queue_rows: usize,
    /// Rows that may wait.
    pub queue_limit: usize,
    /// Requests that wait.
    pub queue_requests: usize,
    /// Workers that are at it.
    pub running: usize,
    /// Requests that wait, or that workers are at.
    pub in_flight: usize,
    /// Rows in one run, at most.
    pub max_rows: usize,
    /// Whether requests may share runs.
    pub batchable: bool,
    /// What became of its requests.
    pub counts: Counts,
    /// How long they took.
    pub time: ModelTimes,
}

/// What became of a model's requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Those that were answered.
    pub requests_success: u64,
    /// Those that were not, by reason; every reason is there.
    pub requests_failed: BTreeMap<String, u64>,
    /// Rows of those that were answered.
    pub rows: u64,
    /// Runs that gave an answer.
    pub executions: u64,
    /// Of these runs, how many had up to 1, 2, 4, ... 1024 rows; the last are larger.
    pub batch_rows: Vec<u64>,
    /// The rows of these runs.
    pub executions_rows: u64,
}

/// Where the time of a model's requests went, of those that were answered. A run that several share counts for each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelTimes {
    /// They waited for workers.
    pub queue: Times,
    /// Their tensors were made.
    pub prepare: Times,
    /// The model ran.
    pub run: Times,
    /// Their answers were made.
    pub finish: Times,
}

/// A run that did not end when it was told to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stuck {
    /// Of this model.
    pub model: String,
    /// Of this version.
    pub version: String,
    /// On this worker.
    pub worker: usize,
    /// The core that it was on last, if the kernel tells.
    pub cpu: Option<usize>,
    /// Since it began.
    pub for_s: f64,
    /// The first four of the requests that it was for.
    pub requests: Vec<String>,
}

/// Something that is wrong right now. Its begin and its end are in the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// What kind: `accept`, `accept_queue`, `closed`, `connections`, `memory`, `queue_full`, `slow`, `stuck` or `unavailable`.
    pub kind: String,
    /// In words.
    pub text: String,
    /// For how long.
    pub for_s: f64,
}

impl From<&Histogram> for Times {
    fn from(histogram: &Histogram) -> Self {
        let buckets = histogram.counts().to_vec();
        Self {
            count: histogram.count(),
            total_s: histogram.sum().as_secs_f64(),
            p50_s: quantile(&buckets, 0.5),
            p99_s: quantile(&buckets, 0.99),
            buckets,
        }
    }
}

impl Times {
    /// Both together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let of = |times: &Self, at: usize| times.buckets.get(at).copied().unwrap_or_default();
        let length = self.buckets.len().max(other.buckets.len());
        let buckets: Vec<u64> = (0..length).map(|at| of(self, at) + of(other, at)).collect();
        Self {
            count: self.count + other.count,
            total_s: self.total_s + other.total_s,
            p50_s: quantile(&buckets, 0.5),
            p99_s: quantile(&buckets, 0.99),
            buckets,
        }
    }

    /// What has come to `earlier` since; all where that is not of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let of = |at: usize| earlier.buckets.get(at).copied().unwrap_or_default();
        let buckets = self.buckets.iter().enumerate().map(|(at, count)| count.checked_sub(of(at)));
        let (Some(buckets), Some(count)) =
            (buckets.collect::<Option<Vec<u64>>>(), self.count.checked_sub(earlier.count))
        else {
            return self.clone();
        };
        Self {
            count,
            total_s: (self.total_s - earlier.total_s).max(0.0),
            p50_s: quantile(&buckets, 0.5),
            p99_s: quantile(&buckets, 0.99),
            buckets,
        }
    }

    /// How long one took in the mean; `None` where there are none.
    #[must_use]
    pub fn mean_s(&self) -> Option<f64> {
        (self.count > 0).then(|| self.total_s / self.count as f64)
    }
}

/// The time that a `share` of those in the buckets took at most, as if they were spread evenly within each.
#[must_use]
pub fn quantile(buckets: &[u64], share: f64) -> Option<f64> {
    let all: u64 = buckets.iter().sum();
    let wanted = all as f64 * share;
    let (mut below, mut from) = (0.0, 0.0);
    for (count, to) in buckets.iter().zip(bounds_s()) {
        let count = *count as f64;
        if count > 0.0 && below + count >= wanted {
            let seconds = from + (to - from) * (wanted - below) / count;
            // Whole nanoseconds: there is no more to it.
            return Some((seconds * 1e9).round() / 1e9);
        }
        (below, from) = (below + count, to);
    }
    // Whatever is over the last bound is at least that.
    (all > 0).then_some(from)
}

/// The bounds of the buckets of [`Times`].
pub fn bounds_s() -> impl Iterator<Item = f64> {
    histogram::BOUNDS.iter().map(Duration::as_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn times(milliseconds: &[u32]) -> Times {
        let mut histogram = Histogram::default();
        milliseconds.iter().for_each(|time| histogram.record(*time * MS));
        Times::from(&histogram)
    }

    #[test]
    fn quantiles_are_within_the_bucket_that_has_them() {
        for (of, p50, p99) in [
            (&[][..], None, None),
            (&[4], Some(0.0035), Some(0.004_97)),
            (&[4, 4, 4, 4], Some(0.0035), Some(0.004_97)),
            (&[1, 1, 1, 30_000], Some(0.000_833), Some(29.2)),
            (&[60_000], Some(30.0), Some(30.0)),
        ] {
            let times = times(of);
            assert_eq!(times.count, of.len() as u64);
            for (got, expected) in [(times.p50_s, p50), (times.p99_s, p99)] {
                let close = match (got, expected) {
                    (Some(got), Some(expected)) => (got - expected).abs() < expected / 100.0,
                    (got, expected) => got == expected,
                };
                assert!(close, "{of:?}: {got:?}, expected {expected:?}");
            }
        }
    }

    #[test]
    fn times_add_up() {
        let (one, two) = (times(&[1, 3]), times(&[3, 40_000]));
        let both = one.with(&two);
        assert_eq!((both.count, both.buckets.clone()), (4, times(&[1, 3, 3, 40_000]).buckets));
        assert!((both.total_s - 40.007).abs() < 1e-9);
        assert_eq!(Times::default().with(&one), one);
        let since = both.since(&one);
        assert_eq!(
            (since.count, since.p50_s, since.buckets),
            (2, times(&[3, 40_000]).p50_s, times(&[3, 40_000]).buckets)
        );
        assert!((since.total_s - 40.003).abs() < 1e-9);
        assert_eq!(one.since(&both), one, "counters that begin anew");
        assert_eq!((one.mean_s(), Times::default().mean_s()), (Some(0.002), None));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let worker = Worker {
            worker: 1,
            state: "idle".into(),
            done: Done { executions: 3, ..Done::default() },
            ..Worker::default()
        };
        let snapshot =
            Snapshot { workers: vec![worker], alarms: vec![Alarm::default()], ..Snapshot::default() };
        let text = serde_json::to_string(&snapshot).unwrap();
        assert!(text.contains(r#""executions":3"#), "{text}");
        assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot);
    }
}
