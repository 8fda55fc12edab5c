//! uWSGI's statistics, as its own tools read them.

use crate::{
    harness::{PATIENCE, Process, Server, eventually, packet, program, to_the_end, tool},
    life::systemd::activated,
    pool::with_fakes,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
};

const ANY_PORT: &str = "127.0.0.1:0";
const IRIS: &str = "[[5.1, 3.5, 1.4, 0.2]]";

/// Where the statistics of a server are that was started in this folder.
fn place(server: &Server) -> PathBuf {
    server.folder.path().join("stats.sock")
}

fn with_stats(config: &str) -> Server {
    Server::with_folder(config, |folder, command| {
        command.env("PREDICTD_UWSGI_STATS", format!("unix:{}", folder.join("stats.sock").display()));
    })
}

/// Two workers and a model that sleeps, at this address.
fn with_sleeper(stats: &str) -> Server {
    let config = format!("uwsgi_stats = '{stats}'\n[workers]\ncount = 2\npin = 'off'");
    with_fakes(&config, &[("sleepy", "[fake]\nsleep = '1h'")])
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn stats(path: &Path) -> Value {
    serde_json::from_slice(&to_the_end(&mut connect(path))).unwrap()
}

/// Where a server says that its statistics are, which was started with a port of 0.
fn port_of(server: &Server) -> String {
    let line = server.process.wait_for_line("listening uwsgi_stats=");
    line.split("uwsgi_stats=").nth(1).unwrap().trim().to_owned()
}

fn stats_by_tcp(address: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    serde_json::from_slice(&to_the_end(&mut stream)).unwrap()
}

/// Begins a request that takes as long as its connection is there.
fn fall_asleep(server: &Server, id: &str) -> UnixStream {
    let mut client = UnixStream::connect(server.socket()).unwrap();
    let body = "[[1.0, 2.0]]";
    let head = packet("POST", "/predict/sleepy?why=not", &[("X-Request-Id", id)], body.len());
    client.write_all(&[&head[..], body.as_bytes()].concat()).unwrap();
    client
}

/// The keys of all objects and the kinds of all values, by their places.
fn shape(of: &Value, place: &str, shapes: &mut BTreeMap<String, BTreeSet<String>>) {
    let kind = match of {
        Value::Object(members) => {
            for (key, value) in members {
                shapes.entry(place.to_owned()).or_default().insert(key.clone());
                shape(value, &format!("{place}.{key}"), shapes);
            }
            "an object"
        }
        Value::Array(items) => {
            items.iter().for_each(|item| shape(item, &format!("{place}[]"), shapes));
            "a list"
        }
        Value::String(_) => "a string",
        Value::Number(number) if number.is_u64() => "a whole number",
        other => panic!("{place} is {other}"),
    };
    shapes.entry(format!("{place} is")).or_default().insert(kind.to_owned());
}

fn shapes(of: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut shapes = BTreeMap::new();
    shape(of, "", &mut shapes);
    // What uWSGI locks is its own.
    shapes.retain(|place, _| !place.starts_with(".locks[]"));
    shapes
}

#[test]
fn the_statistics_are_true_and_name_what_is_under_way() {
    let server = with_sleeper(ANY_PORT);
    let address = port_of(&server);
    for _ in 0..3 {
        server.post("/predict/iris", IRIS).ok();
    }
    let length = server.post("/predict/iris", IRIS).body.len() as u64;
    let sleeper = fall_asleep(&server, "the-sleeper");
    let workers = || stats_by_tcp(&address)["workers"].as_array().unwrap().clone();
    let busy = || workers().into_iter().find(|worker| worker["status"] == "busy" && worker["accepting"] == 0);
    eventually("it runs, slowly", || busy().is_some());
    let document = stats_by_tcp(&address);
    shapes(&document);
    assert_eq!(document["pid"], server.process.id());
    assert_eq!(document["version"], format!("{}-predictd", env!("CARGO_PKG_VERSION")));
    let socket = &document["sockets"][0];
    assert_eq!((&socket["name"], &socket["proto"]), (&json!(server.socket()), &json!("uwsgi,fastcgi,http")));
    assert_eq!(document["sockets"].as_array().unwrap().len(), 1, "{document}");
    let worker = busy().unwrap();
    let core = &worker["cores"][0];
    assert_eq!(core["in_request"], 1, "{worker}");
    assert_eq!(
        core["vars"],
        json!([
            "REQUEST_METHOD=POST",
            "REQUEST_URI=/predict/sleepy?why=not",
            "HTTP_X_REQUEST_ID=the-sleeper",
            "PREDICTD_STATE=slow",
            "PREDICTD_MODEL=sleepy",
            "PREDICTD_VERSION=1",
        ])
    );
    let sum = |key: &str| workers().iter().map(|worker| worker[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("requests"), sum("exceptions"), sum("respawn_count")), (4, 0, 3), "{document}");
    assert_eq!(sum("tx"), 4 * length);
    assert!(sum("running_time") > 0 && worker["rss"].as_u64().unwrap() > 1 << 20, "{document}");
    drop(sleeper);
    eventually("it has ended", || workers().iter().all(|worker| worker["status"] == "idle"));
    assert_eq!((sum("harakiri_count"), sum("requests")), (1, 5), "one was told to end");
}

#[test]
fn its_socket_is_for_our_own_user_and_is_removed() {
    let mut server = with_stats("");
    let mode = fs::metadata(place(&server)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    stats(&place(&server));
    server.process.signal("KILL");
    server.process.wait();
    let folder = server.folder.path().to_owned();
    let again = |name: &str| {
        Server::with_folder("", |_, command| {
            command.env("PREDICTD_UWSGI_STATS", format!("unix:{}", folder.join(name).display()));
        })
    };
    let mut second = again("stats.sock");
    assert_eq!(stats(&folder.join("stats.sock"))["pid"], second.process.id(), "what was left is replaced");
    second.process.signal("TERM");
    assert_eq!(second.process.wait().code(), Some(0));
    assert!(!folder.join("stats.sock").exists());
}

#[test]
fn a_socket_that_somebody_answers_on_is_left_alone() {
    let server = with_stats("");
    let stats_at = place(&server);
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::harness::predictd();
    command.args(["serve", "--admin", "", "--models"]).arg(crate::harness::samples());
    command.arg("--listen").arg(format!("unix:{}", folder.path().join("s").display()));
    command.env("PREDICTD_UWSGI_STATS", format!("unix:{}", stats_at.display()));
    let mut other = Process::start(command);
    other.wait_for_line(&format!("cannot listen on unix:{}", stats_at.display()));
    assert!(!other.wait().success());
    assert_eq!(stats(&stats_at)["pid"], server.process.id());
}

#[test]
fn clients_that_never_read_or_never_close_keep_nobody_out() {
    let server = with_stats("");
    let _idle: Vec<UnixStream> = (0..40).map(|_| connect(&place(&server))).collect();
    // One that takes it for HTTP gets the document too, and no reset.
    let mut chatty = connect(&place(&server));
    chatty.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let got: Value = serde_json::from_slice(&to_the_end(&mut chatty)).unwrap();
    assert_eq!(got["pid"], server.process.id());
    server.get("/v2/health/live").ok();
}

#[test]
fn a_socket_of_systemd_may_be_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("predictd.toml");
    let models = crate::harness::samples();
    let text = format!(
        "models = '{}'\nadmin = ''\nlisten = ['fd:predictd']\nuwsgi_stats = 'fd:stats'",
        models.display()
    );
    fs::write(&config, text).unwrap();
    let public = UnixListener::bind(folder.path().join("s")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let process =
        Process::start_as(activated(&config, "predictd:stats", public.into(), Some(listener.into())));
    assert_eq!(stats_by_tcp(&address)["pid"], process.id());
}

/// A real uWSGI that is at a request.
#[test]
#[ignore = "one of many, for `make test`"]
fn the_keys_and_kinds_are_those_of_a_real_uwsgi() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let app = "import time\n\ndef application(environ, start_response):\n    if environ['PATH_INFO'] == '/sleep':\n        time.sleep(3600)\n    start_response('200 OK', [])\n    return [b'']\n";
    fs::write(at("app.py"), app).unwrap();
    let mut command = Command::new(program("uwsgi"));
    command.args(["--plugin", "python3", "--master", "--workers", "2", "--no-orphans", "--die-on-term"]);
    command.arg("--socket").arg(at("s")).arg("--stats").arg(at("stats")).arg("--wsgi-file").arg(at("app.py"));
    let mut uwsgi = Process::start(command);
    uwsgi.wait_until("it listens", || UnixStream::connect(at("stats")).is_ok());
    let ask = |target: &str| {
        let mut stream = connect(&at("s"));
        stream.write_all(&packet("GET", target, &[("X-Request-Id", "x")], 0)).unwrap();
        stream
    };
    to_the_end(&mut ask("/"));
    let _sleeper = ask("/sleep");
    let is_busy =
        |path: &Path| stats(path)["workers"].as_array().unwrap().iter().any(|of| of["status"] == "busy");
    eventually("uWSGI is at it", || is_busy(&at("stats")));
    let theirs = shapes(&stats(&at("stats")));

    let address = at("ours");
    let server = with_sleeper(&format!("unix:{}", address.display()));
    server.post("/predict/iris", IRIS).ok();
    let _sleeper = fall_asleep(&server, "x");
    eventually("predictd is at it", || is_busy(&address));
    let ours = shapes(&stats(&address));
    assert_eq!(ours, theirs);
    uwsgi.signal("INT");
    uwsgi.wait();
}

#[test]
#[ignore = "one of many, for `make test`"]
fn uwsgitop_shows_every_worker_and_which_are_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats").display().to_string();
    // Which the script starts.
    tool("uwsgitop");
    for (kind, configured) in [("tcp", ANY_PORT.to_owned()), ("unix", format!("unix:{path}"))] {
        let server = with_sleeper(&configured);
        let asked = if kind == "tcp" { port_of(&server) } else { path.clone() };
        for _ in 0..20 {
            server.post("/predict/iris", IRIS).ok();
        }
        let _sleeper = fall_asleep(&server, "x");
        let mut command = Command::new(tool("python"));
        command.arg("-B").arg(crate::harness::source("tests/clients/uwsgitop.py"));
        command.args([&asked, "60", "a"]);
        let version = format!(
            r"^uwsgi-{}-predictd - .* - req: 20 - RPS: \d+ - lq: 0 - tx: \d",
            env!("CARGO_PKG_VERSION")
        );
        let process = format!(r"^node: .* - masterpid: {}$", server.process.id());
        // WID, %, PID, REQ, RPS, EXC, SIG, STATUS, AVG, RSS, VSZ, TX, ReSpwn, HC, RunT, LastSpwn; 3 is the spare of the slow run.
        let row = |id: &str, status: &str| {
            format!(
                r"^ {id}\s+[\d.]+\s+{}\s+\d+\s+-?\d+\s+0\s+0\s+{status}\s+\d+ms\s+[\d.]+M\s+[\d.]+[MG]\s+\S+\s+1\s+0\s+[\d.]+\s+\d\d:\d\d:\d\d$",
                server.process.id()
            )
        };
        command.args([&version, &process]);
        command.args([
            row("1", "(busy|idle)"),
            row("2", "(busy|idle)"),
            row("3", "idle"),
            row("[12]", "busy"),
        ]);
        // The row of a worker's core, by the key `a`.
        command.args(["then", r"^ [123]:0\s"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{kind}:\n{said}");
    }
}

#[test]
fn the_statistics_are_no_request() {
    let server = with_stats("");
    stats(&place(&server));
    let admin = connect(&server.folder.path().join("admin.sock"));
    let status = crate::harness::by_http(admin, "GET", "/status", &[], b"").ok();
    assert_eq!((&status["requests"]["received"], &status["connections"]["accepted"]), (&json!(0), &json!(1)));
}

#[test]
fn a_worker_that_was_stuck_is_started_anew() {
    let config = format!(
        "uwsgi_stats = '{ANY_PORT}'\n[workers]\ncount = 1\nslow_after = '50ms'\nstuck_after = '100ms'"
    );
    let wedge = "deadline = '100ms'\n[fake]\nsleep = '2s'\nignore_terminate = true";
    let server = with_fakes(&config, &[("wedge", wedge)]);
    let address = port_of(&server);
    let first = || stats_by_tcp(&address)["workers"][0].clone();
    assert_eq!((&first()["respawn_count"], &first()["status"]), (&json!(1), &json!("idle")));
    server.post("/predict/wedge", "[[1.0, 2.0]]").error(504);
    let vars = || first()["cores"][0]["vars"].to_string();
    eventually("it is stuck", || vars().contains("PREDICTD_STATE=stuck"));
    assert_eq!((&first()["accepting"], &first()["status"]), (&json!(0), &json!("busy")));
    eventually("it has ended", || first()["respawn_count"] == 2);
    assert_eq!((&first()["accepting"], &first()["status"]), (&json!(1), &json!("idle")));
    assert_eq!(first()["requests"], 1);
}
