//! What a running server says of itself in numbers: that they are all there, true, and agree with each other.

use crate::{
    harness::{Nginx, Pass, Reply, Server, by_http, eventually, packet, program, to_the_end},
    pool::with_fakes,
    wires::{self, connect},
};
use predictd_protocol::gateway::{detect::Wire, uwsgi};
use rustix::process::{Pid, Resource, Rlimit};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::TcpStream,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

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

/// The samples of `/metrics`, by name and labels.
fn metrics(server: &Server) -> BTreeMap<String, f64> {
    let reply = admin(server, "/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(reply.body).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

/// What is between `name="` and the next quotation mark.
fn label<'a>(text: &'a str, name: &str) -> &'a str {
    let after = text.split(&format!("{name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {text}"));
    after.split('"').next().unwrap()
}

/// The sum of all series of that name which have all of `labels`.
fn sum(samples: &BTreeMap<String, f64>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let name = format!("{name}{{");
    let of = samples.iter().filter(|(series, _)| {
        series.starts_with(&name) && labels.iter().all(|(name, value)| label(series, name) == *value)
    });
    of.map(|(_, value)| value).sum()
}

/// How many answers of each status there were, by wire.
type Answers = BTreeMap<String, BTreeMap<String, u64>>;

fn add(answers: &mut Answers, wire: &str, status: &str) {
    *answers.entry(wire.into()).or_default().entry(status.into()).or_default() += 1;
}

/// What clients have asked for and seen.
#[derive(Default)]
struct Clients {
    answers: Mutex<Answers>,
    /// Requests that got as far as a model.
    models: Mutex<BTreeMap<&'static str, u64>>,
}

const RAW: &[(&str, &str)] = &[("Content-Type", "application/octet-stream")];

/// The model that decides on it, if one does; method, target, headers, body.
type Asked = (
    Option<&'static str>,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [u8],
);

/// Requests of every kind.
#[rustfmt::skip]
const ASKED: &[Asked] = &[
    (Some("iris"), "POST", "/predict/iris", &[], IRIS),
    (Some("iris"), "POST", "/predict/iris?top_k=2", &[], b"[[5.1, 3.5, 1.4, 0.2], [1, 2, 3, 4]]"),
    (None, "GET", "/v2/health/live", &[], b""),
    (None, "GET", "/v2/models/iris", &[], b""),
    (None, "GET", "/nowhere/at/all", &[], b""),
    (None, "GET", "/v2/models/none", &[], b""),
    (None, "GET", "/predict/iris", &[], b""),
    (None, "POST", "/predict/iris", &[], b"[[1"),
    (None, "POST", "/predict/iris?top_k=0", &[], IRIS),
    (None, "POST", "/predict/iris", &[("Content-Type", "text/plain")], IRIS),
    (None, "POST", "/predict/iris", RAW, &[0; 100_000]),
    (Some("sleepy"), "POST", "/predict/sleepy", &[], b"[[1.0, 2.0]]"),
    (Some("bomb"), "POST", "/predict/bomb", &[], b"[[1.0, 2.0]]"),
    (Some("late"), "POST", "/predict/late", &[], b"[[1.0, 2.0]]"),
];

impl Clients {
    fn saw(&self, wire: &str, reply: &Reply) {
        add(&mut self.answers.lock().unwrap(), wire, &reply.status.to_string());
    }

    fn ask_all(&self, wire: &str, ask: impl Fn(&str, &str, &[(&str, &str)], &[u8]) -> Reply) {
        for (model, method, target, headers, body) in ASKED {
            let reply = ask(method, target, headers, body);
            self.saw(wire, &reply);
            if let Some(model) = model {
                *self.models.lock().unwrap().entry(model).or_default() += 1;
            }
        }
    }
}

/// The answers, and how many requests nobody waited for, by the lines of the access log.
fn logged(log: &str) -> (Answers, u64) {
    let (mut answers, mut aborted) = (Answers::new(), 0);
    for line in log.lines().filter(|line| !line.contains("path=/status") && !line.contains("path=/metrics")) {
        match line.split(" status=").nth(1) {
            Some(status) => add(&mut answers, label(line, "wire"), status.split(' ').next().unwrap()),
            None => {
                assert!(line.contains("the client went away"), "{line}");
                aborted += 1;
            }
        }
    }
    (answers, aborted)
}

#[test]
fn what_came_is_what_was_answered_or_given_up_and_all_agree_on_it() {
    const ROUNDS: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let config =
        format!("[workers]\ncount = 2\n[limits]\nbody = '64KiB'\n[log]\naccess_file = '{}'", log.display());
    let fakes = [
        ("sleepy", "[batch]\nmax_rows = 1\nqueue = 1\n[fake]\nsleep = '20ms'"),
        ("bomb", "[fake]\npanic = true"),
        ("late", "deadline = '20ms'\n[fake]\nsleep = '1h'"),
        ("hang", "deadline = '1h'\n[fake]\nsleep = '1h'"),
    ];
    let server = with_fakes(&config, &fakes);
    let front_ends = [Pass::Uwsgi, Pass::FastCgi, Pass::Http].map(|pass| Nginx::by(&server, pass));
    let clients = Clients::default();
    thread::scope(|scope| {
        for (wire, nginx) in Wire::ALL.iter().zip(&front_ends) {
            let (server, clients) = (&server, &clients);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    clients.ask_all(wire.name(), |method, target, headers, body| {
                        wires::ask(server, *wire, method, target, headers, body)
                    });
                }
            });
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    clients.ask_all(wire.name(), |method, target, headers, body| {
                        nginx.ask(method, target, headers, body)
                    });
                }
            });
        }
    });
    // What is no request is answered all the same.
    let refused = |mut stream: UnixStream, bytes: &[u8]| {
        stream.write_all(bytes).unwrap();
        Reply::read(&to_the_end(&mut stream))
    };
    clients.saw("http", &refused(connect(&server), b"GET / HTTP/1.1\r\nbroken\r\n\r\n"));
    let mut nameless = bytes::BytesMut::new();
    uwsgi::encode([(&b"PATH_INFO"[..], &b"/"[..])].into_iter(), &mut nameless).unwrap();
    clients.saw("uwsgi", &refused(connect(&server), &nameless));
    let answers = clients.answers.lock().unwrap().clone();
    for status in ["200", "400", "404", "405", "413", "415", "500", "504"] {
        assert!(answers["http"].contains_key(status), "{status}: {answers:?}");
    }
    // Those who go away, with and without nginx between.
    let body = b"[[1.0, 2.0]]";
    let mut gone: Vec<Box<dyn Write>> = Vec::new();
    for (wire, nginx) in Wire::ALL.iter().zip(&front_ends) {
        let mut direct = connect(&server);
        direct.write_all(&wires::request(*wire, "POST", "/predict/hang", &[], body)).unwrap();
        let mut through = TcpStream::connect(nginx.url.strip_prefix("http://").unwrap()).unwrap();
        through.write_all(&wires::request(Wire::Http, "POST", "/predict/hang", &[], body)).unwrap();
        gone.extend([Box::new(direct) as Box<dyn Write>, Box::new(through)]);
    }
    let aborts = gone.len() as u64;
    eventually("all are with the model", || model(&status(&server), "hang")["in_flight"] == aborts);
    assert_eq!(status(&server)["requests"]["under_way"], aborts);
    drop(gone);
    eventually("all are given up", || status(&server)["requests"]["aborted"] == aborts);

    let (status, samples) = (status(&server), metrics(&server));
    let requests = &status["requests"];
    assert_eq!(requests["answered"], json!(answers), "clients have seen what the server says");
    let total: u64 = answers.values().flat_map(BTreeMap::values).sum();
    assert_eq!(requests["received"], total + aborts, "{requests}");
    assert_eq!(requests["under_way"], 0);

    let mut told = Answers::new();
    for (series, value) in &samples {
        if series.starts_with("predictd_requests_total{") {
            let (wire, status) = (label(series, "wire").to_owned(), label(series, "status").to_owned());
            *told.entry(wire).or_default().entry(status).or_default() += *value as u64;
        }
    }
    assert_eq!(told, answers, "/metrics");
    assert_eq!(samples["predictd_requests_received_total"], (total + aborts) as f64);
    assert_eq!(samples["predictd_requests_aborted_total"], aborts as f64);
    assert_eq!(samples["predictd_requests_under_way"], 0.0);
    let counted: f64 = sum(&samples, "predictd_request_seconds_count", &[]);
    assert_eq!(counted, total as f64, "every answer took some time");
    let routes = samples.keys().filter(|series| series.starts_with("predictd_requests_total{"));
    assert!(routes.clone().count() > 0);
    for series in routes {
        let route = label(series, "route");
        let known = ["/predict/{model}", "/v2/health/live", "/v2/models/{model}", "other"];
        assert!(known.contains(&route), "{series}");
    }

    eventually("the access log has a line for each", || {
        logged(&fs::read_to_string(&log).unwrap()) == (answers.clone(), aborts)
    });

    let mut models = clients.models.lock().unwrap().clone();
    models.insert("hang", aborts);
    for (model, asked) in models {
        let of = [("model", model)];
        assert_eq!(sum(&samples, "predictd_model_requests_total", &of), asked as f64, "{model}");
        let success = sum(&samples, "nv_inference_request_success", &of);
        let failure = sum(&samples, "nv_inference_request_failure", &of);
        assert_eq!(success + failure, asked as f64, "{model}, as Triton names it");
        assert_eq!(sum(&samples, "predictd_run_seconds_count", &of), success, "{model}");
        assert_eq!(
            sum(&samples, "predictd_batch_rows_count", &of),
            sum(&samples, "nv_inference_exec_count", &of)
        );
    }
    let failed = |model, reason| {
        sum(&samples, "nv_inference_request_failure", &[("model", model), ("reason", reason)])
    };
    let rounds = (2 * Wire::ALL.len() * ROUNDS) as f64;
    assert_eq!((failed("bomb", "BACKEND"), failed("late", "OTHER")), (rounds, rounds));
    assert_eq!(failed("hang", "CANCELED"), aborts as f64);
    assert_eq!(failed("sleepy", "REJECTED"), samples[r#"predictd_rejected_total{reason="full"}"#]);
    // What workers have run is what models have been run for, whichever thread it was on.
    let runs = sum(&samples, "predictd_worker_runs_total", &[]);
    assert!(runs >= sum(&samples, "nv_inference_exec_count", &[]) + failed("bomb", "BACKEND"), "{runs}");
}

#[test]
#[ignore = "needs scripts/setup.sh promtool"]
fn prometheus_own_tool_has_nothing_to_say() {
    let server = with_fakes("", &[("m", "[fake]\nsleep = '1ms'")]);
    server.post("/predict/iris", IRIS).ok();
    server.get("/nowhere").error(404);
    let text = admin(&server, "/metrics").body;
    let mut promtool = Command::new(program("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(&text).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    // Triton's names are older than these rules, and dashboards know them as they are.
    let ours: Vec<&str> = said.lines().filter(|line| !line.starts_with("nv_inference_")).collect();
    assert_eq!(ours, [""; 0]);
    assert!(matches!(output.status.code(), Some(0 | 3)), "3 is for names alone: {}", output.status);
}

fn alarms(server: &Server) -> Vec<String> {
    let status = status(server);
    let alarms = status["alarms"].as_array().unwrap().iter();
    alarms.map(|alarm| alarm["kind"].as_str().unwrap().to_owned()).collect()
}

/// The number in a log line after `name=`.
fn number(line: &str, name: &str) -> f64 {
    let after = line.split(&format!(" {name}=")).nth(1).unwrap_or_else(|| panic!("no {name} in {line}"));
    after.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{name} in {line}"))
}

#[test]
fn a_full_queue_is_told_when_it_begins_and_when_it_ends() {
    let settings = "deadline = '1h'\n[batch]\nqueue = 2\nmax_rows = 1\n[fake]\nsleep = '1h'";
    let server = with_fakes("[workers]\ncount = 1", &[("m", settings)]);
    let body = b"[[1.0, 2.0]]";
    let is = |member: &str, value: u64| model(&status(&server), "m")[member] == value;
    for round in 0..2 {
        let begin = || {
            let mut client = connect(&server);
            client.write_all(&wires::request(Wire::Uwsgi, "POST", "/predict/m", &[], body)).unwrap();
            client
        };
        let runs = begin();
        eventually("it runs", || is("running", 1));
        let wait = [begin(), begin()];
        eventually("two wait", || is("queue_rows", 2));
        for _ in 0..5 {
            server.post("/predict/m", body).error(503);
        }
        let begun = server.process.wait_for_nth_line("the queue is full", round);
        assert!(begun.contains(" WARN ") && begun.contains("model=m/1"), "{begun}");
        assert_eq!(number(&begun, "waiting"), 2.0);
        let kinds = alarms(&server);
        assert_eq!(kinds.iter().filter(|kind| *kind == "queue_full").count(), 1, "{kinds:?}");
        let samples = metrics(&server);
        assert_eq!(samples[r#"predictd_alarms{kind="queue_full"}"#], 1.0);
        assert_eq!(samples[r#"predictd_rejected_total{reason="full"}"#], (5 * (round + 1)) as f64);
        assert!(!server.process.has_line("the queue has room again") || round == 1);
        drop((wait, runs));
        let ended = server.process.wait_for_nth_line("the queue has room again", round);
        assert_eq!((number(&ended, "refused"), number(&ended, "peak")), (5.0, 2.0), "{ended}");
        assert!(number(&ended, "lasted_s") < 60.0, "{ended}");
        eventually("all is well", || alarms(&server).is_empty());
        assert_eq!(server.process.count_lines("the queue is full"), round + 1);
    }
}

#[test]
fn a_stuck_run_is_an_alarm_until_it_ends() {
    let config = "[workers]\ncount = 1\nslow_after = '50ms'\nstuck_after = '100ms'";
    // The deadline is long enough for it to be begun, however busy the machine is.
    let settings = "deadline = '2s'\n[fake]\nsleep = '8s'\nignore_terminate = true";
    let server = with_fakes(config, &[("m", settings)]);
    let ask = || server.ask("POST", "/predict/m", &[("X-Request-Id", "the-one")], b"[[1.0, 2.0]]");
    ask().error(504);
    server.process.wait_for_line("a run is stuck");
    let status = status(&server);
    let stuck = &status["stuck"][0];
    assert_eq!((&stuck["model"], &stuck["version"], &stuck["worker"]), (&json!("m"), &json!("1"), &json!(1)));
    assert_eq!((&stuck["requests"], &stuck["cpu"].is_u64()), (&json!(["the-one"]), &true), "{stuck}");
    // It may have been begun late, and its time is its caller's.
    assert!(stuck["for_s"].as_f64().unwrap() >= 0.1, "{stuck}");
    let kinds = alarms(&server);
    assert!(kinds.contains(&"stuck".into()) && kinds.contains(&"closed".into()), "{kinds:?}");
    assert_eq!(metrics(&server)["predictd_stuck_runs"], 1.0);
    for _ in 0..3 {
        ask().error(503);
    }
    let ended = server.process.wait_for_line("the stuck run has ended: the model is open again");
    assert_eq!((number(&ended, "refused"), number(&ended, "worker")), (3.0, 1.0), "{ended}");
    assert!(number(&ended, "took_s") >= 8.0, "{ended}");
    assert_eq!(alarms(&server), [""; 0]);
    assert_eq!(metrics(&server)[r#"predictd_rejected_total{reason="closed"}"#], 3.0);
}

#[test]
fn connections_that_wait_are_told_of_until_there_is_room() {
    let server = Server::with("[socket]\nbacklog = 4\n[limits]\nconnections = 1");
    let mut first = connect(&server);
    first.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    Reply::receive(&mut first).ok_or_empty();
    let waiting: Vec<UnixStream> = (0..4).map(|_| connect(&server)).collect();
    let begun = server.process.wait_for_line("wait to be accepted at unix:");
    assert_eq!((number(&begun, "waiting"), number(&begun, "backlog")), (4.0, 4.0), "{begun}");
    server.process.wait_for_line("all 1 connections are in use; others wait");
    let mut kinds = alarms(&server);
    kinds.sort();
    assert_eq!(kinds, ["accept_queue", "connections"]);
    let samples = metrics(&server);
    assert_eq!(sum(&samples, "predictd_accept_queue", &[]), 4.0);
    assert_eq!(samples["predictd_connections"], 1.0);
    drop((first, waiting));
    let ended = server.process.wait_for_line("there is room for connections");
    assert_eq!(number(&ended, "peak"), 4.0, "{ended}");
    let ended = server.process.wait_for_line("there are places for connections again");
    assert!(number(&ended, "waits") >= 1.0 && number(&ended, "lasted_s") < 60.0, "{ended}");
    assert_eq!(alarms(&server), [""; 0]);
    assert_eq!(server.process.count_lines("connections are in use"), 1);
}

#[test]
fn that_nobody_can_be_accepted_is_told_once() {
    let server = Server::start();
    let pid = Pid::from_raw(server.process.id().try_into().unwrap());
    let allow = |files: u64| {
        let limit = Rlimit { current: Some(files), maximum: Some(1000) };
        rustix::process::prlimit(pid, Resource::Nofile, limit).unwrap();
    };
    server.get("/v2/health/live").ok_or_empty();
    allow(3);
    let mut waits = connect(&server);
    waits.write_all(&packet("GET", "/v2/health/live", &[], 0)).unwrap();
    let begun = server.process.wait_for_line("cannot accept a connection: Too many open files");
    assert!(begun.contains(" ERROR ") && begun.contains("open_files=3"), "{begun}");
    allow(1000);
    wires::answer(Wire::Uwsgi, &mut waits).ok_or_empty();
    let ended = server.process.wait_for_line("connections can be accepted again");
    assert!(number(&ended, "failures") >= 1.0, "{ended}");
    assert_eq!(server.process.count_lines("cannot accept a connection"), 1);
}

#[test]
fn memory_that_is_full_is_told_of_until_there_is_some() {
    let server = Server::with("[limits]\nin_flight = '1MiB'\nbody = '1MiB'");
    let body = vec![0; 700 << 10];
    let bytes = wires::request(Wire::FastCgi, "POST", "/predict/iris", RAW, &body);
    let mut half = connect(&server);
    half.write_all(&bytes[..bytes.len() - 1000]).unwrap();
    let mut refused = 0.0;
    eventually("it is refused", || {
        let reply = wires::ask(&server, Wire::Http, "POST", "/predict/iris", RAW, &body);
        refused += f64::from(u8::from(reply.status == 503));
        refused > 0.0
    });
    server.process.wait_for_line("bytes there are for them; others are refused");
    assert_eq!(alarms(&server), ["memory"]);
    assert_eq!(metrics(&server)[r#"predictd_rejected_total{reason="memory"}"#], refused);
    let ended = server.process.wait_for_line("there is memory for requests again");
    assert_eq!(number(&ended, "refused"), refused, "{ended}");
    assert_eq!(alarms(&server), [""; 0]);
    drop(half);
}
