//! The snapshot as uWSGI 2.0 writes its statistics, for `uwsgitop` and whatever else reads those: its members in its order, every
//! number an integer, since some readers take nothing else.
//!
//! A worker here is a thread, so that all rows have the same process and its memory. What waits for a worker waits in the queues of
//! models, not only in the kernel's: `listen_queue` is both, and `listen_queue_errors` what found a model's queue full.
//! `harakiri_count` are runs that were told to end since nobody waited for them any more. What there is none of here (uWSGI's
//! signals, its locks, files that it serves) is 0 or empty.

use super::snapshot::{self, Snapshot};
use serde::Serialize;

/// What a snapshot does not tell of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The number of its user.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// The folder that it is in.
    pub cwd: String,
}

#[derive(Serialize)]
struct Document<'a> {
    version: String,
    listen_queue: u64,
    listen_queue_errors: u64,
    signal_queue: u64,
    load: u64,
    pid: u32,
    uid: u32,
    gid: u32,
    cwd: &'a str,
    locks: [(); 0],
    sockets: Vec<Socket<'a>>,
    workers: Vec<Worker>,
}

#[derive(Serialize)]
struct Socket<'a> {
    name: &'a str,
    proto: String,
    queue: u64,
    max_queue: u64,
    shared: u64,
    can_offload: u64,
}

/// Times are microseconds, but for `last_spawn`, which is seconds since the epoch.
#[derive(Serialize)]
struct Worker {
    id: usize,
    pid: u32,
    accepting: u64,
    requests: u64,
    delta_requests: u64,
    exceptions: u64,
    harakiri_count: u64,
    signals: u64,
    signal_queue: u64,
    status: &'static str,
    rss: u64,
    vsz: u64,
    running_time: u64,
    last_spawn: u64,
    respawn_count: u64,
    tx: u64,
    avg_rt: u64,
    apps: [Application; 1],
    cores: [Core; 1],
}

/// uWSGI's are the programs that are loaded into a worker, each counting for itself: here that is one, predictd.
#[derive(Serialize)]
struct Application {
    id: u64,
    modifier1: u64,
    mountpoint: &'static str,
    startup_time: u64,
    requests: u64,
    exceptions: u64,
    chdir: &'static str,
}

/// What answers one request at a time, of which a worker here has one.
#[derive(Serialize)]
struct Core {
    id: u64,
    requests: u64,
    static_requests: u64,
    routed_requests: u64,
    offloaded_requests: u64,
    write_errors: u64,
    read_errors: u64,
    in_request: u64,
    vars: Vec<String>,
    req_info: Request,
}

#[derive(Serialize)]
struct Request {
    /// Only of one that there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_start: Option<u64>,
}

/// The document of that moment.
#[must_use]
pub fn document(snapshot: &Snapshot, process: &Process) -> Vec<u8> {
    let public = || snapshot.sockets.iter().filter(|socket| !socket.admin);
    let accepting: u64 = public().filter_map(|socket| socket.waiting).map(u64::from).sum();
    let queued: usize = snapshot.models.iter().map(|model| model.queue_requests).sum();
    let listen_queue = accepting + queued as u64;
    let document = Document {
        // As uWSGI's own has Debian's name behind it.
        version: format!("{}-{}", snapshot.version, snapshot.name),
        listen_queue,
        listen_queue_errors: snapshot.rejected.get("full").copied().unwrap_or_default(),
        signal_queue: 0,
        load: listen_queue,
        pid: snapshot.pid,
        uid: process.uid,
        gid: process.gid,
        cwd: &process.cwd,
        locks: [],
        sockets: public().map(socket).collect(),
        workers: snapshot.workers.iter().map(|of| worker(of, snapshot)).collect(),
    };
    let mut text = serde_json::to_vec_pretty(&document).expect("all keys are text");
    text.push(b'\n');
    text
}

fn socket(socket: &snapshot::Socket) -> Socket<'_> {
    Socket {
        // uWSGI's are paths, @names and addresses.
        name: socket.address.strip_prefix("unix:").unwrap_or(&socket.address),
        proto: socket.wires.join(","),
        queue: socket.waiting.unwrap_or_default().into(),
        max_queue: socket.backlog.unwrap_or_default().into(),
        shared: 0,
        can_offload: 0,
    }
}

fn worker(worker: &snapshot::Worker, snapshot: &Snapshot) -> Worker {
    let done = &worker.done;
    let is_busy = worker.state != "idle";
    // Others have the places of these.
    let is_aside = worker.state == "slow" || worker.state == "stuck";
    let running_time = whole(done.busy_s * 1e6);
    let requests = done.requests_total;
    let application = Application {
        id: 0,
        modifier1: 0,
        mountpoint: "",
        startup_time: 0,
        requests,
        exceptions: done.exceptions,
        chdir: "",
    };
    let core = Core {
        id: 0,
        requests,
        static_requests: 0,
        routed_requests: 0,
        offloaded_requests: 0,
        write_errors: 0,
        read_errors: 0,
        in_request: is_busy.into(),
        vars: if is_busy { vars(worker) } else { Vec::new() },
        req_info: Request { request_start: is_busy.then(|| whole(snapshot.time_s - worker.for_s)) },
    };
    Worker {
        id: worker.worker,
        pid: snapshot.pid,
        accepting: (!is_aside).into(),
        requests,
        delta_requests: requests,
        exceptions: done.exceptions,
        harakiri_count: done.terminated,
        signals: 0,
        signal_queue: 0,
        status: if is_busy { "busy" } else { "idle" },
        rss: snapshot.memory.rss_bytes,
        vsz: snapshot.memory.virtual_bytes,
        running_time,
        last_spawn: whole(snapshot.time_s - worker.up_s),
        respawn_count: worker.starts,
        tx: worker.sent_bytes,
        avg_rt: running_time.checked_div(requests).unwrap_or_default(),
        apps: [application],
        cores: [core],
    }
}

/// What the worker is at, in the words of CGI. A run may be for several requests: then these follow one another.
fn vars(worker: &snapshot::Worker) -> Vec<String> {
    let mut vars = Vec::new();
    for (id, line) in worker.requests.iter().zip(&worker.lines) {
        if let Some((method, target)) = line.split_once(' ') {
            vars.extend([format!("REQUEST_METHOD={method}"), format!("REQUEST_URI={target}")]);
        }
        vars.push(format!("HTTP_X_REQUEST_ID={id}"));
    }
    vars.push(format!("PREDICTD_STATE={}", worker.state));
    for (name, value) in [("MODEL", &worker.model), ("VERSION", &worker.version)] {
        vars.extend(value.iter().map(|value| format!("PREDICTD_{name}={value}")));
    }
    vars
}

/// Nothing is negative here, and what is too large is the largest.
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
#[path = "uwsgi_stats_tests.rs"]
mod tests;
