//! What is written, member for member; the black box compares it with a real uWSGI's.

use super::*;
use crate::telemetry::snapshot::{Done, Memory, Model, Socket, Worker};
use serde_json::{Value, json};

fn written(snapshot: &Snapshot) -> Value {
    let process = Process { uid: 33, gid: 34, cwd: "/a \"b\"".into() };
    let text = document(snapshot, &process);
    assert!(text.ends_with(b"}\n"));
    serde_json::from_slice(&text).unwrap()
}

fn snapshot(workers: Vec<Worker>) -> Snapshot {
    Snapshot {
        name: "predictd".into(),
        version: "1.2.3".into(),
        pid: 7,
        time_s: 1_700_000_100.75,
        memory: Memory { rss_bytes: 4096, virtual_bytes: 8192, ..Memory::default() },
        workers,
        ..Snapshot::default()
    }
}

#[test]
fn the_top_is_of_the_whole_server() {
    let public = Socket {
        address: "unix:/run/p.sock".into(),
        wires: vec!["uwsgi".into(), "http".into()],
        unix: true,
        waiting: Some(2),
        backlog: Some(100),
        ..Socket::default()
    };
    let unknown =
        Socket { address: "127.0.0.1:8090".into(), wires: vec!["uwsgi".into()], ..Socket::default() };
    let admin = Socket { address: "127.0.0.1:8099".into(), admin: true, waiting: Some(9), ..public.clone() };
    let waits = |queue_requests| Model { queue_requests, ..Model::default() };
    let snapshot = Snapshot {
        sockets: vec![public, unknown, admin],
        models: vec![waits(3), waits(0), waits(5)],
        rejected: [("full".to_owned(), 4), ("closed".to_owned(), 99)].into(),
        ..snapshot(Vec::new())
    };
    let socket = |name: &str, proto: &str, queue: u64, max_queue: u64| {
        json!({
            "name": name, "proto": proto, "queue": queue, "max_queue": max_queue, "shared": 0, "can_offload": 0
        })
    };
    assert_eq!(
        written(&snapshot),
        json!({
            "version": "1.2.3-predictd", "listen_queue": 10, "listen_queue_errors": 4, "signal_queue": 0, "load": 10,
            "pid": 7, "uid": 33, "gid": 34, "cwd": "/a \"b\"", "locks": [],
            "sockets": [
                socket("/run/p.sock", "uwsgi,http", 2, 100),
                socket("127.0.0.1:8090", "uwsgi", 0, 0),
            ],
            "workers": [],
        })
    );
}

#[test]
fn a_worker_is_a_row_with_all_that_it_has_done() {
    let done = Done {
        executions: 3,
        rows_total: 9,
        requests_total: 4,
        prepared: 2,
        exceptions: 1,
        terminated: 2,
        busy_s: 1.000_001_4,
    };
    let worker = Worker {
        worker: 1,
        state: "idle".into(),
        starts: 2,
        up_s: 60.0,
        sent_bytes: 500,
        done,
        ..Worker::default()
    };
    let core = json!({
        "id": 0, "requests": 4, "static_requests": 0, "routed_requests": 0, "offloaded_requests": 0, "write_errors": 0,
        "read_errors": 0, "in_request": 0, "vars": [], "req_info": {},
    });
    let app = json!({
        "id": 0, "modifier1": 0, "mountpoint": "", "startup_time": 0, "requests": 4, "exceptions": 1, "chdir": ""
    });
    assert_eq!(
        written(&snapshot(vec![worker]))["workers"],
        json!([{
            "id": 1, "pid": 7, "accepting": 1, "requests": 4, "delta_requests": 4, "exceptions": 1, "harakiri_count": 2,
            "signals": 0, "signal_queue": 0, "status": "idle", "rss": 4096, "vsz": 8192, "running_time": 1_000_001,
            "last_spawn": 1_700_000_041, "respawn_count": 2, "tx": 500, "avg_rt": 250_000, "apps": [app], "cores": [core],
        }])
    );
}

#[test]
fn what_a_worker_is_at_is_shown_as_uwsgi_shows_a_request() {
    let at = |state: &str, requests: &[(&str, &str)]| Worker {
        worker: 1,
        state: state.into(),
        model: Some("iris".into()),
        version: Some("2".into()),
        for_s: 10.5,
        requests: requests.iter().map(|(id, _)| (*id).to_owned()).collect(),
        lines: requests.iter().map(|(_, line)| (*line).to_owned()).collect(),
        ..Worker::default()
    };
    let of = |state: &str| {
        vec![format!("PREDICTD_STATE={state}"), "PREDICTD_MODEL=iris".into(), "PREDICTD_VERSION=2".into()]
    };
    let one = ["REQUEST_METHOD=POST", "REQUEST_URI=/p?a b", "HTTP_X_REQUEST_ID=x"];
    let two = ["REQUEST_METHOD=GET", "REQUEST_URI=*", "HTTP_X_REQUEST_ID=y"];
    for (state, requests, accepting, said) in [
        ("preparing", &[("x", "POST /p?a b")][..], 1, one.to_vec()),
        ("running", &[("x", "POST /p?a b"), ("y", "GET *")], 1, [one, two].concat()),
        // Their places are others' meanwhile.
        ("slow", &[("x", "POST /p?a b")], 0, one.to_vec()),
        ("stuck", &[], 0, vec![]),
        // Asked by the server itself.
        ("running", &[("z", "")], 1, vec!["HTTP_X_REQUEST_ID=z"]),
    ] {
        let document = written(&snapshot(vec![at(state, requests)]));
        let worker = &document["workers"][0];
        let core = &worker["cores"][0];
        assert_eq!(
            (&worker["status"], &worker["accepting"]),
            (&json!("busy"), &json!(accepting)),
            "{worker}"
        );
        let said: Vec<String> = said.into_iter().map(str::to_owned).chain(of(state)).collect();
        assert_eq!(core["vars"], json!(said), "{state}");
        assert_eq!(core["req_info"], json!({"request_start": 1_700_000_090}), "{state}");
        assert_eq!((&core["in_request"], &worker["avg_rt"]), (&json!(1), &json!(0)), "{state}");
    }
}
