//! What a running server says of itself in numbers: that they are all there, true, and agree with each other.

use crate::{
    harness::{Reply, Server, by_http, eventually, packet},
    pool::with_fakes,
    wires,
};
use predictd_protocol::gateway::detect::Wire;
use serde_json::{Value, json};
use std::{io::Write, os::unix::net::UnixStream};

const IRIS: &[u8] = b"[[5.1, 3.5, 1.4, 0.2]]";

fn admin(server: &Server, target: &str) -> Reply {
    let stream = UnixStream::connect(server.folder.path().join("admin.sock")).unwrap();
    by_http(stream, "GET", target, &[], b"")
}

fn status(server: &Server) -> Value {
    admin(server, "/status").ok()
}

fn model<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["models"].as_array().unwrap().iter().find(|model| model["name"] == name).unwrap()
}

#[test]
fn the_status_tells_what_is_under_way() {
    let server = with_fakes("[workers]\ncount = 1\npin = '0'", &[("sleepy", "[fake]\nsleep = '1h'")]);
    assert_eq!(wires::ask(&server, Wire::Http, "POST", "/predict/iris", &[], IRIS).status, 200);
    assert_eq!(wires::ask(&server, Wire::Uwsgi, "GET", "/nowhere/at/all", &[], b"").status, 404);
    let ask = |id: &str| {
        let mut client = UnixStream::connect(server.socket()).unwrap();
        let body = "[[1.0, 2.0]]";
        let head = packet("POST", "/predict/sleepy", &[("X-Request-Id", id)], body.len());
        client.write_all(&[&head[..], body.as_bytes()].concat()).unwrap();
        client
    };
    let runs = ask("the-one-that-runs");
    eventually("it runs, slowly", || status(&server)["workers"][0]["state"] == "slow");
    let status = status(&server);
    let worker = &status["workers"][0];
    assert_eq!((&worker["model"], &worker["version"]), (&json!("sleepy"), &json!("1")));
    assert_eq!((&worker["requests"], &worker["rows"]), (&json!(["the-one-that-runs"]), &json!(1)));
    assert_eq!((&worker["worker"], &worker["cpu"], &worker["spare"]), (&json!(1), &json!(0), &json!(false)));
    assert!(worker["for_s"].as_f64().unwrap() >= 0.25, "{worker}");
    let spare = &status["workers"][1];
    assert_eq!(
        (&spare["spare"], &spare["state"], &spare["cpu"]),
        (&json!(true), &json!("idle"), &Value::Null)
    );
    let sleepy = model(&status, "sleepy");
    assert_eq!((&sleepy["running"], &sleepy["in_flight"]), (&json!(1), &json!(1)), "{sleepy}");
    let iris = model(&status, "iris");
    assert_eq!((&iris["counts"]["requests_success"], &iris["counts"]["executions"]), (&json!(1), &json!(1)));
    assert_eq!((&iris["time"]["run"]["count"], &iris["batchable"]), (&json!(1), &json!(true)), "{iris}");
    assert_eq!(worker["executions"], 1, "{worker}");
    let requests = &status["requests"];
    assert_eq!((&requests["received"], &requests["under_way"]), (&json!(3), &json!(1)), "{requests}");
    assert_eq!(requests["answered"], json!({"uwsgi": {"404": 1}, "fastcgi": {}, "http": {"200": 1}}));
    assert_eq!(status["alarms"][0]["kind"], "slow", "{status}");
    assert!(status["memory"]["rss_bytes"].as_u64().unwrap() > 1 << 20, "{status}");
    assert_eq!(status["connections"]["open"], 1, "{status}");
    let socket = &status["sockets"][0];
    assert!(socket["address"].as_str().unwrap().ends_with("predictd.sock"), "{socket}");
    assert_eq!((&socket["unix"], &socket["waiting"]), (&json!(true), &json!(0)), "{socket}");
    assert!(socket["backlog"].as_u64().unwrap() > 0, "{socket}");
    drop(runs);
    eventually("it was given up", || self::status(&server)["requests"]["aborted"] == 1);
    eventually("its worker has ended it", || self::status(&server)["workers"][0]["state"] == "idle");
    let status = self::status(&server);
    assert_eq!(model(&status, "sleepy")["counts"]["requests_failed"]["cancelled"], 1);
    assert_eq!((&status["requests"]["under_way"], &status["alarms"]), (&json!(0), &json!([])));
}
