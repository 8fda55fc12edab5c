//! Taking the snapshot: the one place that asks everybody how they stand.

use super::App;
use crate::{
    os::{
        listening::{self, Depth, Inode},
        process,
        usage::{self, Usage},
    },
    pool::{self, Standing as PoolStanding},
    serving::{Standing, State, UNLOADED},
    telemetry::{
        RequestId,
        alarms::Alarms,
        histogram::Histogram,
        snapshot::{
            self, Alarm, Counts, Cpu, Done, Files, Loading, Memory, Model, ModelTimes, Requests, Route,
            Snapshot, Socket, Stuck, Times, Worker,
        },
        statistics::{Figures, Reason},
        traffic::{self, Traffic},
    },
    wire::{Connections, Listener, LiveLimits},
};
use predictd_protocol::gateway::detect::Wire;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

/// Where requests come from: the public addresses, their connections and counts. Clones share them.
#[derive(Clone, Debug)]
pub struct Front {
    traffic: Traffic,
    connections: Connections,
    limits: LiveLimits,
    doors: Arc<OnceLock<Vec<Door>>>,
    alarms: Alarms,
}

/// A socket that is listened on.
#[derive(Clone, Debug)]
pub struct Door {
    address: String,
    is_unix: bool,
    is_admin: bool,
    inode: Option<Inode>,
}

impl Door {
    /// That of `listener`.
    #[must_use]
    pub fn of(listener: &Listener, is_admin: bool) -> Self {
        let (address, is_unix) = (listener.address().to_string(), listener.is_unix());
        Self { address, is_unix, is_admin, inode: listener.inode() }
    }
}

impl Front {
    /// One with these counts and bounds.
    #[must_use]
    pub fn new(traffic: Traffic, connections: Connections, limits: LiveLimits) -> Self {
        Self { traffic, connections, limits, doors: Arc::default(), alarms: Alarms::default() }
    }

    /// Says once where the server listens.
    pub fn opened(&self, doors: impl Iterator<Item = Door>) {
        let _ = self.doors.set(doors.collect());
    }

    /// What is wrong there.
    #[must_use]
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    fn doors(&self) -> &[Door] {
        self.doors.get().map_or(&[], Vec::as_slice)
    }

    fn sockets(&self) -> Vec<Socket> {
        let asked: Vec<Inode> = self.doors().iter().filter_map(|door| door.inode).collect();
        let mut depths = listening::depths(&asked).into_iter();
        let public: Vec<Wire> = self.limits.now().wires.iter().collect();
        let socket = |door: &Door| {
            let depth = door.inode.and_then(|_| depths.next()?);
            let wires: &[Wire] = if door.is_admin { &[Wire::Http] } else { &public };
            Socket {
                address: door.address.clone(),
                wires: wires.iter().map(Wire::to_string).collect(),
                unix: door.is_unix,
                admin: door.is_admin,
                waiting: depth.map(|Depth { waiting, .. }| waiting),
                backlog: depth.map(|Depth { backlog, .. }| backlog),
            }
        };
        self.doors().iter().map(socket).collect()
    }
}

impl App {
    /// How the server stands now.
    pub async fn snapshot(&self) -> Snapshot {
        self.shown(|snapshot| snapshot).await
    }

    /// The same as somebody sees it. Taken and shown on a thread of its own: it asks the kernel, and may be long.
    pub(super) async fn shown<T: Send + 'static>(
        &self,
        show: impl FnOnce(Snapshot) -> T + Send + 'static,
    ) -> T {
        let app = self.clone();
        let shown = tokio::task::spawn_blocking(move || show(app.take_snapshot())).await;
        shown.expect("it does not panic, and is not cancelled")
    }

    fn take_snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let (pool, usage) = (self.pool.standing(), usage::usage());
        let models = self.models.standings();
        let budget = self.front.limits.now().budget.clone();
        let stuck = stuck(&pool, now);
        let loading = self.loader.current().map(|(operation, model, since)| Loading {
            operation: operation.to_string(),
            model,
            for_s: seconds(now - since),
        });
        Snapshot {
            name: "predictd".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            phase: self.life.phase().name().into(),
            ready: self.is_ready(),
            time_s: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
            uptime_s: seconds(now - self.life.begun()),
            started_s: usage.started,
            cpu_s: Cpu { user: usage.user.as_secs_f64(), system: usage.system.as_secs_f64() },
            memory: Memory {
                rss_bytes: usage.resident,
                virtual_bytes: usage.addresses,
                in_flight_bytes: budget.held(),
                in_flight_limit_bytes: budget.limit(),
            },
            files: files(&usage),
            loading,
            loads: self.models.loads(),
            connections: self.front.connections.look(),
            requests: requests(&self.front.traffic.figures()),
            rejected: rejected(&pool, budget.refused()),
            sockets: self.front.sockets(),
            workers: pool.workers.iter().map(|worker| self.worker(worker, now)).collect(),
            former_workers: done(pool.former),
            alarms: alarms(&models, &pool, &self.front, now),
            models: models.iter().map(|standing| model(standing, &pool, now)).collect(),
            stuck,
            bucket_bounds_s: snapshot::bounds_s().collect(),
        }
    }

    fn worker(&self, worker: &pool::Worker, now: Instant) -> Worker {
        let of = Worker {
            worker: worker.number,
            cpu: self.pool.core(worker.number).map(|core| core.0),
            spare: worker.spare,
            starts: worker.starts,
            up_s: worker.started.map_or(0.0, |started| seconds(now.saturating_duration_since(started))),
            state: "idle".into(),
            sent_bytes: self.front.traffic.sent(worker.number),
            done: done(worker.done),
            ..Worker::default()
        };
        let Some(task) = &worker.task else { return of };
        let (model, version) = name_and_version(&task.model);
        Worker {
            state: state(task).into(),
            model: Some(model),
            version: Some(version),
            rows: task.rows,
            for_s: seconds(now - task.begun),
            lines: task.requests.iter().map(|id| id.line().unwrap_or_default()).collect(),
            requests: ids(&task.requests),
            ..of
        }
    }
}

fn state(task: &pool::Activity) -> &'static str {
    match task {
        pool::Activity { stuck: true, .. } => "stuck",
        pool::Activity { slow: true, .. } => "slow",
        pool::Activity { runs_model: true, .. } => "running",
        _ => "preparing",
    }
}

fn files(usage: &Usage) -> Files {
    Files { open: usage.open_files, limit: process::open_files() }
}

fn ids(requests: &[RequestId]) -> Vec<String> {
    requests.iter().map(|id| id.as_str().to_owned()).collect()
}

/// A lane is named after both.
fn name_and_version(lane: &str) -> (String, String) {
    let (name, version) = lane.rsplit_once('/').unwrap_or((lane, ""));
    (name.to_owned(), version.to_owned())
}

fn done(done: pool::Done) -> Done {
    let pool::Done { runs, rows, failed, terminated, requests, prepared, busy } = done;
    Done {
        executions: runs,
        rows_total: rows,
        requests_total: requests,
        prepared,
        exceptions: failed,
        terminated,
        busy_s: busy.as_secs_f64(),
    }
}

fn stuck(pool: &PoolStanding, now: Instant) -> Vec<Stuck> {
    let stuck = pool.workers.iter().filter_map(|worker| {
        let task = worker.task.as_ref().filter(|task| task.stuck)?;
        let (model, version) = name_and_version(&task.model);
        Some(Stuck {
            model,
            version,
            worker: worker.number,
            cpu: worker.thread.and_then(process::core_of),
            for_s: seconds(now - task.begun),
            requests: ids(&task.requests),
        })
    });
    stuck.collect()
}

fn rejected(pool: &PoolStanding, memory: u64) -> BTreeMap<String, u64> {
    let pool::Rejections { full, closed, stopped } = pool.rejected;
    [("full", full), ("closed", closed), ("stopped", stopped), ("memory", memory)]
        .map(|(reason, count)| (reason.to_owned(), count))
        .into()
}

fn requests(figures: &traffic::Figures) -> Requests {
    let mut requests = Requests::default();
    for wire in Wire::ALL {
        // All wires are there, also those that nothing has come by.
        requests.answered.entry(wire.to_string()).or_default();
        requests.latency.entry(wire.to_string()).or_insert_with(|| Times::from(&Histogram::default()));
    }
    for of in &figures.answered {
        let wire = of.wire.to_string();
        let name = |status: Option<u16>| status.map_or_else(|| "other".into(), |status| status.to_string());
        let statuses = of.statuses.iter().map(|(status, count)| (name(*status), *count));
        let answered: BTreeMap<String, u64> = statuses.collect();
        let of_wire = requests.answered.entry(wire.clone()).or_default();
        for (status, count) in &answered {
            *of_wire.entry(status.clone()).or_default() += count;
        }
        let time = Times::from(&of.time);
        let latency = requests.latency.entry(wire.clone()).or_default();
        *latency = latency.with(&time);
        let route = if of.route.is_empty() { "other".into() } else { of.route.clone() };
        requests.routes.push(Route { wire, route, answered, time });
    }
    let sum = |counts: &[(Wire, u64)]| counts.iter().map(|(_, count)| count).sum::<u64>();
    (requests.received, requests.aborted) = (sum(&figures.received), sum(&figures.aborted));
    let answered: u64 = requests.answered.values().flat_map(BTreeMap::values).sum();
    requests.under_way = requests.received.saturating_sub(answered + requests.aborted);
    requests
}

fn model(standing: &Standing, pool: &PoolStanding, now: Instant) -> Model {
    let state = match standing.state {
        State::Loading => "loading",
        State::Ready => "ready",
        State::Closed => "closed",
        State::Unloading => "unloading",
        State::Unavailable => "unavailable",
    };
    let of = Model {
        name: standing.name.clone(),
        version: standing.version.map(|version| version.to_string()),
        state: state.into(),
        for_s: seconds(now.saturating_duration_since(standing.since)),
        reason: standing.reason.clone(),
        ..Model::default()
    };
    let Some(served) = &standing.served else { return of };
    let waiting = served.lane.in_standing(pool);
    let figures = served.lane.statistics().figures();
    Model {
        queue_rows: waiting.rows,
        queue_limit: served.batching.queue,
        queue_requests: waiting.requests,
        running: waiting.running,
        in_flight: waiting.requests + waiting.begun,
        max_rows: served.batching.max_rows,
        batchable: served.batching.joins,
        counts: counts(&figures),
        time: ModelTimes {
            queue: Times::from(&figures.queue_wait),
            prepare: Times::from(&figures.prepare),
            run: Times::from(&figures.run),
            finish: Times::from(&figures.finish),
        },
        ..of
    }
}

fn counts(figures: &Figures) -> Counts {
    let failed = Reason::ALL.map(|reason| (reason.name().to_owned(), figures.failures(reason).count));
    Counts {
        requests_success: figures.answered,
        requests_failed: failed.into(),
        rows: figures.rows,
        executions: figures.runs,
        batch_rows: figures.sizes.to_vec(),
        executions_rows: figures.runs_rows,
    }
}

/// What is wrong now.
fn alarms(models: &[Standing], pool: &PoolStanding, front: &Front, now: Instant) -> Vec<Alarm> {
    let alarm = |kind: &str, text: String, since: Instant| Alarm {
        kind: kind.into(),
        text,
        for_s: seconds(now.saturating_duration_since(since)),
    };
    let runs = pool.workers.iter().filter_map(|worker| {
        let (task, number) = (worker.task.as_ref().filter(|task| task.slow)?, worker.number);
        let (kind, what) =
            if task.stuck { ("stuck", "is stuck: it did not end when told to") } else { ("slow", "is slow") };
        Some(alarm(kind, format!("a run of {} on worker {number} {what}", task.model), task.begun))
    });
    let queues = pool.full.iter().map(|(model, full)| {
        let text = format!("the queue of {model} is full: {} requests were refused", full.count);
        alarm("queue_full", text, full.begun())
    });
    let models = models.iter().filter_map(|standing| {
        let kind = match standing.state {
            State::Closed => "closed",
            State::Unavailable => "unavailable",
            _ => return None,
        };
        let reason = standing.reason.as_deref().filter(|reason| *reason != UNLOADED)?;
        let version = standing.version.map_or_else(String::new, |version| format!("/{version}"));
        Some(alarm(kind, format!("model {}{version}: {reason}", standing.name), standing.since))
    });
    let front = front.alarms.all().into_iter().map(|of| alarm(of.kind, of.text, of.since));
    let mut all: Vec<Alarm> = runs.chain(queues).chain(models).chain(front).collect();
    all.sort_by(|one, other| other.for_s.total_cmp(&one.for_s));
    all
}

/// To the microsecond, which is more than a person reads and less than a clock has.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn every_route_is_counted_by_its_own_template() {
        for template in crate::api::paths() {
            let traffic = Traffic::of(crate::api::paths());
            let path = template.replace(['{', '}'], "");
            traffic.begin(Wire::Http, &path).answered(StatusCode::OK);
            let requests = requests(&traffic.figures());
            let [route] = &requests.routes[..] else { panic!("{path}") };
            assert_eq!(route.route, template);
            assert_eq!((requests.received, requests.under_way), (1, 0));
        }
    }

    #[test]
    fn a_path_of_a_clients_own_is_no_route() {
        let traffic = Traffic::of(crate::api::paths());
        for path in ["/", "", "/nowhere", "/predict/a/b", "/v2/models/m/versions/1/x", "/predict/", "//", "*"]
        {
            traffic.begin(Wire::Uwsgi, path).answered(StatusCode::NOT_FOUND);
        }
        let requests = requests(&traffic.figures());
        assert_eq!(requests.routes.len(), 1);
        assert_eq!((&*requests.routes[0].route, requests.answered["uwsgi"]["404"]), ("other", 8));
    }
}
