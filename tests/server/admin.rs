//! The admin interface: who may call it, and what only it answers.

use crate::{
    deployment::{Deployment, patient},
    harness::{Nginx, PATIENCE, Pass, Reply, by_http, free_port, packet, predictd, to_the_end},
    tiny::constant,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

const ONLY_HERE: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/status"),
    ("GET", "/metrics"),
    ("POST", "/reload"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/m/load"),
    ("POST", "/v2/repository/models/m/unload"),
];

#[test]
fn what_only_the_owner_may_do_is_not_there_for_the_public() {
    let deployment = Deployment::of(&[("m.onnx", &constant(1.0, 4))]);
    for (method, target) in ONLY_HERE {
        let reply = deployment.server.ask(method, target, &[], b"");
        assert_eq!(reply.error(404), format!("there is nothing at {target}"));
        deployment.admin(method, target, "").ok_or_empty();
    }
    let nginx = Nginx::by(&deployment.server, Pass::Http);
    for (method, target) in ONLY_HERE {
        nginx.ask(method, target, &[], b"").error(404);
    }
    // What is for all is here too.
    deployment.admin("POST", "/v2/repository/models/m/load", "").ok_or_empty();
    deployment.admin("GET", "/v2/models/m", "").ok();
    let extensions = |reply: Reply| reply.ok()["extensions"].as_array().unwrap().len();
    let (owners, publics) =
        (extensions(deployment.admin("GET", "/v2", "")), extensions(deployment.server.get("/v2")));
    assert_eq!(owners, publics + 2);
    let answer = deployment.admin("POST", "/predict/m", "[[0], [3]]").ok();
    assert_eq!(answer["results"][1]["outputs"]["y"], json!([1.0]));
    let error = deployment.admin("GET", "/reload", "").error(405);
    assert_eq!(error, "/reload does not take GET");
    deployment.admin("GET", "/nowhere", "").error(404);
    // Who looks again and again does not fill the log.
    deployment.server.process.wait_for_line("path=/nowhere");
    assert!(deployment.server.process.has_line("path=/v2/models/m "));
    for polled in ["path=/status", "path=/metrics"] {
        // By others it was asked in vain.
        assert_eq!(deployment.server.process.count_lines(&format!("{polled} status=200")), 0);
    }
}

#[test]
fn its_socket_is_its_owners_and_speaks_http_alone() {
    let mut deployment = Deployment::with("[socket]\nmode = '0666'", &[]);
    let socket = deployment.server.folder.path().join("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&packet("GET", "/status", &[], 0)).unwrap();
    assert_eq!(to_the_end(&mut stream), b"");
    deployment.server.process.signal("TERM");
    assert_eq!(deployment.server.process.wait().code(), Some(0));
    assert!(!socket.exists());
}

/// A page of somebody else's in the owner's browser sends Host and Origin truly, and can do nothing about that.
#[test]
fn a_foreign_host_or_page_is_refused() {
    let port = free_port();
    let config = "admin_hosts = ['models.example']";
    let deployment = Deployment::started(config, &[("m.onnx", &constant(1.0, 4))], |command| {
        command.args(["--admin", &format!("127.0.0.1:{port}")]);
    });
    let ask = |method: &str, target: &str, headers: &[(&str, &str)]| {
        let stream = patient(TcpStream::connect(("127.0.0.1", port)).unwrap());
        by_http(stream, method, target, headers, b"")
    };
    let own = format!("127.0.0.1:{port}");
    for host in [&*own, "localhost", "[::1]:8099", "models.example", "Models.Example:80"] {
        ask("GET", "/status", &[("Host", host)]).ok();
    }
    // By a name that leads to our address, which DNS says only after the page has been loaded (rebinding).
    for (method, target) in ONLY_HERE.iter().chain(&[("GET", "/v2"), ("GET", "/nowhere"), ("GET", "/reload")])
    {
        for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", ""] {
            let error = ask(method, target, &[("Host", host)]).error(403);
            assert!(error.contains("admin_hosts") && error.contains(host), "{error}");
        }
    }
    // From a page of another server, with a request that needs no leave.
    for origin in ["https://evil.example", "null", "http://localhost", "http://127.0.0.1"] {
        let reply = ask("POST", "/v2/repository/models/m/unload", &[("Host", &own), ("Origin", origin)]);
        assert!(reply.error(403).contains(origin));
    }
    assert_eq!(deployment.predict("m"), 1.0);
    ask("POST", "/v2/repository/models/m/load", &[("Host", &own), ("Origin", &format!("http://{own}"))])
        .ok_or_empty();
    deployment.server.process.wait_for_line("refused: the admin interface is not called 'evil.example'");
}

#[test]
fn an_address_that_others_reach_must_be_allowed() {
    let run = |environment: &[(&str, &str)]| {
        let mut command = predictd();
        command
            .args(["check", "--models", "/nowhere", "--admin", "0.0.0.0:0"])
            .envs(environment.iter().copied());
        let output = command.output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let refused = run(&[]);
    assert!(refused.contains("admin_allow_remote = true"), "{refused}");
    let allowed = run(&[("PREDICTD_ADMIN_ALLOW_REMOTE", "true")]);
    assert!(!allowed.contains("admin_allow_remote"), "{allowed}");
}

#[test]
fn models_come_and_go_by_request_as_triton_has_it() {
    let deployment = Deployment::of(&[("a/1/model.onnx", &constant(1.0, 4)), ("b.onnx", &constant(2.0, 4))]);
    let index = |body: &str| deployment.admin("POST", "/v2/repository/index", body).ok();
    let ask = |verb: &str, model: &str, body: &str| {
        deployment.admin("POST", &format!("/v2/repository/models/{model}/{verb}"), body)
    };
    let entry = |name: &str, state: &str| json!({"name": name, "version": "1", "state": state});
    assert_eq!(index(""), json!([entry("a", "READY"), entry("b", "READY")]));

    let reply = ask("unload", "a", r#"{"parameters": {"unload_dependents": true}}"#);
    assert_eq!((reply.status, &*reply.body), (200, &b""[..]));
    assert_eq!(deployment.server.post("/predict/a", "[[0]]").error(404), "model 'a' is unloaded");
    assert_eq!(deployment.server.get("/v2/models/a/ready").error(404), "model 'a' is unloaded");
    let unloaded = json!({"name": "a", "state": "UNAVAILABLE", "reason": "unloaded"});
    // It has answered all it took, and is gone within a moment.
    deployment.wait_until(|| index("{}") == json!([unloaded, entry("b", "READY")]));
    assert_eq!(index(r#"{"ready": true}"#), json!([entry("b", "READY")]));
    deployment.server.get("/v2/health/ready").ok();
    ask("unload", "a", "").ok_or_empty();

    // A reload of everything leaves it as its owner has asked for it to be.
    assert_eq!(deployment.outcomes(), json!({"a": "unloaded", "b": "unchanged"}));
    deployment.server.post("/predict/a", "[[0]]").error(404);
    ask("load", "a", "").ok_or_empty();
    assert_eq!(deployment.predict("a"), 1.0);

    // What is new on disk comes by name.
    deployment.put("c/model.onnx", constant(3.0, 4));
    assert_eq!(deployment.server.post("/predict/c", "[[0]]").error(404), "there is no model 'c'");
    ask("load", "c", "{}").ok_or_empty();
    assert_eq!(deployment.predict("c"), 3.0);
    // And what was replaced.
    deployment.put("c/model.onnx", constant(4.0, 4));
    ask("load", "c", "").ok_or_empty();
    assert_eq!(deployment.predict("c"), 4.0);

    for verb in ["load", "unload"] {
        assert_eq!(ask(verb, "none", "").error(404), "there is no model 'none'");
        assert!(ask(verb, "a", "{").error(400).starts_with("the body is not what it should be"));
    }
    deployment.put("c/model.onnx", "rubbish");
    assert_eq!(
        ask("load", "c", "").error(500),
        "model 'c' version 1: Protobuf parsing failed.; version 1 goes on"
    );
    assert_eq!(deployment.predict("c"), 4.0);
    for (parameters, key) in
        [(json!({"config": "{}"}), "config"), (json!({"file:1/model.onnx": "AA=="}), "file:1/model.onnx")]
    {
        let error = ask("load", "a", &json!({"parameters": parameters}).to_string()).error(400);
        assert!(error.starts_with(&format!("parameters.{key} is not taken here")), "{error}");
    }
    assert!(
        deployment.admin("POST", "/v2/repository/index", r#"{"ready": 1}"#).error(400).contains("boolean")
    );
}

#[test]
fn the_status_says_how_each_model_stands() {
    let deployment = Deployment::with(
        "strict_models = false",
        &[("m.onnx", &constant(1.0, 4)), ("broken/model.onnx", b"rubbish")],
    );
    let status = deployment.admin("GET", "/status", "").ok();
    assert_eq!((&status["phase"], &status["ready"]), (&json!("ready"), &json!(true)));
    assert_eq!(status["pid"], json!(deployment.server.process.id()));
    assert!(status["uptime_s"].as_f64().unwrap() < 600.0 && status["loading"].is_null(), "{status}");
    let [broken, m] = &status["models"].as_array().unwrap()[..] else { panic!("{status}") };
    let expect = |model: &Value, key: &str, value: Value| assert_eq!(model[key], value, "{model}");
    expect(broken, "state", json!("unavailable"));
    expect(broken, "version", json!("1"));
    expect(broken, "reason", json!("Protobuf parsing failed."));
    expect(m, "state", json!("ready"));
    expect(m, "queue_rows", json!(0));
    let (code, out, err) = deployment.run("status", &[]);
    assert_eq!((code, &*err), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("predictd 0.1.0, process ") && lines[0].ends_with(": ready"), "{out}");
    assert!(lines[2].starts_with("broken  1        unavailable"), "{out}");
    assert_eq!(lines[3], "    Protobuf parsing failed.");
    assert!(lines[4].starts_with("m       1        ready"), "{out}");
    let (code, out, _) = deployment.run("status", &["--json"]);
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["models"][1]["name"], "m");
}

#[test]
fn where_nobody_answers_it_is_said() {
    for verb in ["status", "reload"] {
        let output = predictd().args([verb, "--admin", "unix:/nowhere/admin.sock"]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{error}");
        assert_eq!(
            error,
            "predictd: no server answers on unix:/nowhere/admin.sock: No such file or directory (os error 2)\n"
        );
        let output = predictd().arg(verb).env("PREDICTD_ADMIN", "").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{error}");
        assert!(error.contains("the admin interface is off"), "{error}");
    }
}
