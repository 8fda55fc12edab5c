//! Models and configuration that change while requests come in.

use crate::{
    deployment::Deployment,
    harness::{Ending, Nginx, PATIENCE, Pass, Reply, packet},
    tiny::constant,
    wires::connect,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    os::unix::net::UnixStream,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

const HUP: &str = "HUP";

/// A request by uwsgi that is under way.
fn begin(deployment: &Deployment, target: &str, body: &str) -> UnixStream {
    let mut stream = connect(&deployment.server);
    stream.write_all(&[&packet("POST", target, &[], body.len())[..], body.as_bytes()].concat()).unwrap();
    stream
}

fn end(mut stream: UnixStream) -> Reply {
    use std::io::Read;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Reply::parse(&answer)
}

fn fake(settings: &str) -> Vec<u8> {
    format!("kind = 'fake'\n{settings}").into_bytes()
}

/// The version that an answer names, and that its rows are of, which must be one.
fn version_of(answer: &Value) -> u64 {
    let version: u64 = answer["model_version"].as_str().unwrap().parse().unwrap();
    let rows = answer["outputs"][0]["data"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "{answer}");
    assert!(rows.iter().all(|row| row.as_f64() == Some(version as f64)), "{answer}");
    version
}

/// Sixteen clients by three wires while `rounds` versions follow each other: each is of `elements` numbers.
fn replace_under_load(rounds: u64, elements: usize) {
    // A line for each request is more than a test should keep.
    let config = "[log]\naccess = false";
    let deployment = Deployment::with(config, &[("m/1/model.onnx", &constant(1.0, elements))]);
    let fronts = [Pass::Uwsgi, Pass::FastCgi, Pass::Http].map(|pass| Nginx::by(&deployment.server, pass));
    let (over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let body = json!({"inputs": [{"name": "x", "shape": [3, 1], "datatype": "FP32", "data": [0, 1, 2]}]})
        .to_string();
    thread::scope(|scope| {
        let ask = |client: usize| {
            let (mut newest, front) = (0, &fronts[client % fronts.len()]);
            while !over.load(Ordering::Relaxed) {
                let version = version_of(&front.ask("POST", "/v2/models/m/infer", &[], body.as_bytes()).ok());
                assert!(version >= newest, "{version} after {newest}: what was replaced answers nobody new");
                newest = version;
                answers.fetch_add(1, Ordering::Relaxed);
            }
            newest
        };
        let clients: Vec<_> = (0..16).map(|client| scope.spawn(move || ask(client))).collect();
        let ending = Ending(&over);
        let mut memory = 0;
        for version in 2..=rounds + 1 {
            deployment.put(&format!("m/{version}/model.onnx"), constant(version as f32, elements));
            // By each way in turn.
            if version % 2 == 0 {
                deployment.server.process.signal(HUP);
                deployment.wait_until(|| {
                    deployment.server.get("/v2/models/m").ok()["versions"] == json!([version.to_string()])
                });
            } else {
                assert_eq!(deployment.outcomes(), json!({"m": "loaded"}));
            }
            deployment.remove(&format!("m/{}", version - 1));
            let (before, enough) = (answers.load(Ordering::Relaxed), 50);
            deployment.wait_until(|| answers.load(Ordering::Relaxed) >= before + enough);
            deployment.wait_until(|| deployment.states() == json!({(format!("m/{version}")): "ready"}));
            if version == rounds / 5 + 2 {
                memory = deployment.memory();
            }
        }
        drop(ending);
        let newest: Vec<u64> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(newest.iter().all(|version| *version == rounds + 1), "{newest:?}");
        // Room for one generation, and for what requests happen to hold.
        let (grown, model) = (deployment.memory().saturating_sub(memory), elements as u64 * 4);
        assert!(grown < model + (16 << 20), "memory grew by {grown} bytes in {rounds} reloads");
    });
}

#[test]
fn a_model_is_replaced_under_load_without_a_failed_or_mixed_answer() {
    replace_under_load(6, 16);
}

#[test]
#[ignore = "takes a minute"]
fn a_model_of_16_mb_is_replaced_fifty_times_in_the_same_memory() {
    replace_under_load(50, 4 << 20);
}

#[test]
fn requests_under_way_are_answered_by_what_they_found() {
    let sleepy = |echo: bool| fake(&format!("[fake]\nsleep = '1500ms'\necho = {echo}"));
    let deployment =
        Deployment::of(&[("slow/model.toml", &sleepy(true)), ("gone/model.toml", &sleepy(true))]);
    let old = ["slow", "gone"].map(|model| begin(&deployment, &format!("/predict/{model}"), "[[7, 8]]"));
    // Found, in the order of their connections.
    deployment.server.get("/v2/health/live").ok();
    deployment.put("slow/model.toml", sleepy(false));
    deployment.remove("gone");
    assert_eq!(deployment.outcomes(), json!({"gone": "removed", "slow": "loaded"}));
    assert_eq!(deployment.states(), json!({"gone/1": "unloading", "slow/1": "ready"}));
    assert_eq!(deployment.server.post("/predict/gone", "[[7, 8]]").error(404), "there is no model 'gone'");
    let new = begin(&deployment, "/predict/slow", "[[7, 8]]");
    for old in old {
        assert_eq!(end(old).ok()["results"][0]["outputs"]["output"], json!([7.0, 8.0]));
    }
    assert_eq!(end(new).ok()["results"][0]["outputs"]["output"], json!([0.0, 0.0]));
    deployment.wait_until(|| deployment.states() == json!({"slow/1": "ready"}));
}

#[test]
fn what_has_not_changed_is_not_loaded_again() {
    let deployment =
        Deployment::of(&[("m/1/model.onnx", &constant(1.0, 4)), ("m/model.toml", b"versions = 'all'")]);
    let log = &deployment.server.process;
    assert_eq!(deployment.outcomes(), json!({"m": "unchanged"}));
    assert_eq!(log.count_lines("loading model=m"), 1);
    // Its settings alone: the engine stays.
    deployment.put("m/model.toml", "versions = 'all'\ndeadline = '7s'");
    assert_eq!(deployment.outcomes(), json!({"m": "loaded"}));
    log.wait_for_line("its settings have changed, its file has not");
    assert_eq!(log.count_lines("loading model=m"), 1);
    // A second version: the first stays.
    deployment.put("m/2/model.onnx", constant(2.0, 4));
    let outcome = &deployment.reload()["m"];
    assert_eq!((&outcome["outcome"], &outcome["versions"]), (&json!("loaded"), &json!(["1", "2"])));
    assert_eq!(
        (log.count_lines("loading model=m version=1"), log.count_lines("loading model=m version=2")),
        (1, 1)
    );
    assert_eq!(
        deployment.server.post("/predict/m?version=1", "[[0]]").ok()["results"][0]["outputs"]["y"],
        json!([1.0])
    );
    assert_eq!(deployment.predict("m"), 2.0);
    // A file of the same size, in the same place.
    deployment.put("m/2/model.onnx", constant(3.0, 4));
    assert_eq!(deployment.outcomes(), json!({"m": "loaded"}));
    assert_eq!(
        (log.count_lines("loading model=m version=1"), log.count_lines("loading model=m version=2")),
        (1, 2)
    );
    assert_eq!(deployment.predict("m"), 3.0);
    // `[defaults]` are settings too.
    deployment.configure("[defaults]\ndeadline = '9s'\n[defaults.batch]\nqueue = 7");
    assert_eq!(deployment.outcomes(), json!({"m": "loaded"}));
    assert_eq!(log.count_lines("loading model=m"), 3);
    assert_eq!(deployment.outcomes(), json!({"m": "unchanged"}));
}

#[test]
fn the_versions_that_are_served_follow_the_files_and_the_policy() {
    let deployment =
        Deployment::of(&[("m/9/model.onnx", &constant(9.0, 4)), ("m/10/model.onnx", &constant(10.0, 4))]);
    let versions = || deployment.server.get("/v2/models/m").ok()["versions"].clone();
    assert_eq!((versions(), deployment.predict("m")), (json!(["10"]), 10.0));
    for (policy, expected) in
        [("'all'", json!(["9", "10"])), ("[9]", json!(["9"])), ("'latest'", json!(["10"]))]
    {
        deployment.put("m/model.toml", format!("versions = {policy}"));
        assert_eq!(deployment.outcomes(), json!({"m": "loaded"}), "{policy}");
        assert_eq!(versions(), expected, "{policy}");
    }
    deployment.remove("m/10");
    assert_eq!(deployment.outcomes(), json!({"m": "loaded"}));
    assert_eq!(deployment.predict("m"), 9.0);
    let error = deployment.server.post("/predict/m?version=10", "[[0]]").error(404);
    assert_eq!(error, "model 'm' has no version 10; it has 9");
    // A version that is broken leaves all as they were.
    deployment.put("m/model.toml", "versions = 'all'");
    deployment.put("m/11/model.onnx", "rubbish");
    let outcome = &deployment.reload()["m"];
    assert_eq!((&outcome["outcome"], &outcome["failed_version"]), (&json!("failed"), &json!("11")));
    assert_eq!(
        (versions(), deployment.states()),
        (json!(["9"]), json!({"m/9": "ready", "m/11": "unavailable"}))
    );
}

#[test]
fn a_model_that_is_on_its_way_says_so_and_holds_nobody_up() {
    let deployment = Deployment::of(&[("m.onnx", &constant(1.0, 4))]);
    deployment.put("slow/model.toml", fake("[fake]\nload = '1500ms'"));
    deployment.server.process.signal(HUP);
    deployment.wait_until(|| deployment.states() == json!({"m/1": "ready", "slow": "loading"}));
    let reply = deployment.server.post("/predict/slow", "[[1]]");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.error(503), "model 'slow' is being loaded; try again in a moment");
    assert_eq!(deployment.predict("m"), 1.0);
    deployment.server.get("/v2/health/ready").ok();
    deployment.wait_until(|| {
        let loading = &deployment.admin("GET", "/status", "").ok()["loading"];
        loading["operation"] == "reload" && loading["model"] == "slow"
    });
    deployment.wait_until(|| deployment.states()["slow/1"] == "ready");
    deployment.server.post("/predict/slow", "[[1]]").ok();
}

#[test]
fn a_load_that_does_not_end_is_given_up() {
    let mut deployment =
        Deployment::with("[workers]\nstuck_after = '200ms'", &[("m.onnx", &constant(1.0, 4))]);
    let endless = "deadline = '100ms'\n[fake]\nload = '1h'\nignore_terminate = ";
    deployment.put("ends/model.toml", fake(&format!("{endless}false")));
    deployment.put("endless/model.toml", fake(&format!("{endless}true")));
    let outcomes = deployment.reload();
    assert_eq!(outcomes["ends"]["outcome"], "loaded", "told to end, it did: {outcomes}");
    assert_eq!(outcomes["endless"]["reason"], "loading it did not end within 0 s, and was given up");
    assert_eq!(deployment.predict("m"), 1.0);
    deployment.server.process.signal("TERM");
    assert_eq!(deployment.server.process.wait().code(), Some(0), "what was given up keeps nobody");
}

#[test]
fn a_load_that_was_given_up_keeps_no_old_model_and_is_not_begun_twice() {
    let deployment =
        Deployment::with("[workers]\nstuck_after = '200ms'", &[("m/model.onnx", &constant(1.0, 4))]);
    let endless = "deadline = '100ms'\n[fake]\nload = '1h'\nignore_terminate = true";
    deployment.put("m/model.toml", fake(endless));
    assert_eq!(deployment.outcomes(), json!({"m": "failed"}));
    let threads = || fs::read_dir(format!("/proc/{}/task", deployment.server.process.id())).unwrap().count();
    let before = threads();
    let outcome = deployment.reload();
    let reason = outcome["m"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("a load of it was given up before, and still goes on: "), "{outcome}");
    assert_eq!(threads(), before);
    assert_eq!(deployment.predict("m"), 1.0);
    deployment.admin("POST", "/v2/repository/models/m/unload", "").ok_or_empty();
    deployment.wait_until(|| deployment.states() == json!({"m": "unavailable"}));
}

#[test]
fn the_end_leaves_what_was_still_to_be_loaded() {
    let mut deployment = Deployment::of(&[]);
    for model in 0..20 {
        deployment.put(&format!("m{model}/model.toml"), fake("[fake]\nload = '1h'"));
    }
    deployment.server.process.signal(HUP);
    deployment.wait_until(|| deployment.states()["m0"] == "loading");
    deployment.server.process.wait_for_line("misbehaves on purpose");
    deployment.server.process.signal("TERM");
    assert_eq!(deployment.server.process.wait().code(), Some(0));
    deployment.server.process.wait_for_line("given up, since the server is stopping");
    assert_eq!(deployment.server.process.count_lines("misbehaves on purpose"), 1);
}

#[test]
fn threads_of_a_model_that_came_later_have_the_priority_of_others() {
    let deployment = Deployment::of(&[]);
    deployment.put("m/model.toml", "[session]\nthreads = 2");
    deployment.put("m/model.onnx", constant(1.0, 4));
    assert_eq!(deployment.outcomes(), json!({"m": "loaded"}));
    let tasks = fs::read_dir(format!("/proc/{}/task", deployment.server.process.id())).unwrap();
    // proc_pid_stat(5): the name in parentheses is the second field, the nice value the 19th.
    let nice = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse::<i32>().unwrap()
    };
    let nice: Vec<i32> = tasks.map(|task| nice(task.unwrap())).collect();
    assert!(nice.iter().all(|priority| *priority == nice[0]), "{nice:?}");
}

#[test]
fn the_end_does_not_wait_for_a_load() {
    let mut deployment = Deployment::of(&[]);
    deployment.put("slow/model.toml", fake("deadline = '1h'\n[fake]\nload = '1h'\nignore_terminate = true"));
    deployment.server.process.signal(HUP);
    deployment.wait_until(|| deployment.states() == json!({"slow": "loading"}));
    let waits = thread::scope(|scope| {
        let waits = scope.spawn(|| deployment.admin("POST", "/v2/repository/models/slow/load", ""));
        deployment
            .wait_until(|| deployment.admin("GET", "/status", "").ok()["loading"]["operation"] == "reload");
        deployment.server.process.signal("TERM");
        waits.join().unwrap()
    });
    assert_eq!(waits.error(503), "the server is stopping");
    assert_eq!(deployment.server.process.wait().code(), Some(0));
}

#[test]
fn the_end_does_not_wait_for_a_configuration_that_never_comes() {
    let mut deployment = Deployment::of(&[]);
    let config = deployment.server.folder.path().join("predictd.toml");
    fs::remove_file(&config).unwrap();
    // To open a pipe is to wait for its writer.
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    deployment.server.process.signal(HUP);
    deployment.wait_until(|| deployment.admin("GET", "/status", "").ok()["loading"]["operation"] == "reload");
    let begun = Instant::now();
    deployment.server.process.signal("TERM");
    assert_eq!(deployment.server.process.wait().code(), Some(0));
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

#[test]
fn a_model_that_is_stuck_is_open_again_when_it_is_loaded_again() {
    let config = "[workers]\ncount = 1\nslow_after = '50ms'\nstuck_after = '100ms'\nmax_stuck = 9";
    let wedge = fake("deadline = '100ms'\n[fake]\nsleep = '1h'\nignore_terminate = true");
    let mut deployment = Deployment::with(config, &[("wedge/model.toml", &wedge)]);
    let ask = || deployment.server.post("/predict/wedge", "[[1]]");
    ask().error(504);
    deployment.wait_until(|| deployment.states() == json!({"wedge/1": "closed"}));
    assert!(ask().error(503).contains("it is closed"));
    let index = deployment.admin("POST", "/v2/repository/index", "").ok();
    assert_eq!(index[0]["state"], "UNAVAILABLE");
    assert!(index[0]["reason"].as_str().unwrap().contains("worker 1 is stuck in a run of it"), "{index}");
    // Nothing has changed, but that is reason enough.
    assert_eq!(deployment.outcomes(), json!({"wedge": "loaded"}));
    assert_eq!(deployment.states(), json!({"wedge/1": "ready"}));
    ask().error(504);
    deployment.put("wedge/model.toml", fake(""));
    deployment.admin("POST", "/v2/repository/models/wedge/load", "").ok_or_empty();
    ask().ok();
    deployment.server.process.signal("TERM");
    assert_eq!(deployment.server.process.wait().code(), Some(0));
}

#[test]
fn a_model_that_never_was_makes_the_server_unready_unless_it_need_not_be_there() {
    for (strict, status) in [(true, 503), (false, 200)] {
        let config = format!("strict_models = {strict}");
        let deployment = Deployment::with(&config, &[("m.onnx", &constant(1.0, 4))]);
        deployment.put("new/model.onnx", "rubbish");
        assert_eq!(deployment.outcomes(), json!({"m": "unchanged", "new": "failed"}));
        let reply = deployment.server.get("/v2/health/ready");
        assert_eq!((reply.status, &reply.json()["ready"]), (status, &json!(!strict)));
        let error = deployment.server.post("/predict/new", "[[0]]").error(503);
        assert_eq!(error, "model 'new' could not be loaded; the server's log says why");
        deployment.server.process.wait_for_line("model 'new' version 1: Protobuf parsing failed.");
        deployment.put("new/model.onnx", constant(2.0, 4));
        assert_eq!(deployment.outcomes(), json!({"m": "unchanged", "new": "loaded"}));
        deployment.server.get("/v2/health/ready").ok();
        assert_eq!(deployment.predict("new"), 2.0);
    }
}

/// A request of this many bytes.
fn large(bytes: usize) -> String {
    format!("[[0]]{}", " ".repeat(bytes - 5))
}

#[test]
fn limits_and_the_log_level_bind_at_once_on_kept_connections_too() {
    let deployment =
        Deployment::with("[limits]\nbody = '1KiB'\n[log]\nlevel = 'warn'", &[("m.onnx", &constant(1.0, 4))]);
    let fronts = [Pass::Uwsgi, Pass::FastCgi, Pass::Http].map(|pass| Nginx::by(&deployment.server, pass));
    let ask = |body: &str| {
        fronts.each_ref().map(|front| front.ask("POST", "/predict/m", &[], body.as_bytes()).status)
    };
    assert_eq!(ask("[[0]]"), [200; 3]);
    assert_eq!(ask(&large(2000)), [413; 3]);
    assert_eq!(ask("[[0]]"), [200; 3]);
    deployment.configure("[limits]\nbody = '4KiB'\nconnections = 100\n[log]\nlevel = 'info'\naccess = false");
    let (code, out, err) = deployment.run("reload", &[]);
    assert_eq!((code, &*err), (0, ""));
    assert_eq!(out, "unchanged  m                        version 1\n");
    let log = &deployment.server.process;
    // Those that were not refused.
    deployment.wait_until(|| log.count_lines("path=/predict/m") == 6);
    // Which a level of warn would not show.
    log.wait_for_line("reload: 1 unchanged");
    // nginx has kept its connections, all but uwsgi's.
    assert_eq!(ask(&large(3000)), [200; 3]);
    assert_eq!(ask(&large(5000)), [413; 3]);
    assert_eq!(log.count_lines("path=/predict/m"), 6);
}

#[test]
fn what_a_reload_cannot_change_is_said() {
    let deployment = Deployment::of(&[("m.onnx", &constant(1.0, 4))]);
    deployment.configure("admin_hosts = ['x']\n[workers]\ncount = 7\n[onnxruntime]\nlibrary = '/nowhere'");
    let (code, out, _) = deployment.run("reload", &[]);
    assert_eq!(code, 0, "{out}");
    for key in ["admin_hosts", "workers", "onnxruntime"] {
        assert!(out.lines().any(|line| line.starts_with("note: ") && line.contains(key)), "{out}");
        deployment.server.process.wait_for_line(key);
    }
    assert_eq!(deployment.predict("m"), 1.0);
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let deployment = Deployment::of(&[("m.onnx", &constant(1.0, 4))]);
    deployment.put("n.onnx", constant(2.0, 4));
    deployment.configure("[limits]\nbodi = '1MiB'");
    let error = deployment.admin("POST", "/reload", "").json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("the configuration cannot be used, and nothing was changed: "), "{error}");
    assert!(error.contains("bodi") && error.contains("predictd.toml"), "{error}");
    let (code, _, err) = deployment.run("reload", &[]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("bodi"), "{err}");
    deployment.server.process.signal(HUP);
    deployment.server.process.wait_for_line("SIGHUP: reloading");
    deployment.wait_until(|| deployment.server.process.count_lines("nothing was changed") >= 2);
    assert_eq!(deployment.server.post("/predict/n", "[[0]]").error(404), "there is no model 'n'");
    assert_eq!(deployment.predict("m"), 1.0);
    deployment.configure("");
    let (code, out, _) = deployment.run("reload", &[]);
    assert_eq!(code, 0);
    assert!(out.contains("unchanged  m ") && out.contains("loaded     n "), "{out}");
    deployment.put("n.onnx", "rubbish");
    let (code, out, err) = deployment.run("reload", &[]);
    assert_eq!(code, 78);
    assert!(
        out.contains(
            "FAILED     n                        version 1: Protobuf parsing failed.; version 1 goes on"
        ),
        "{out}"
    );
    assert_eq!(err, "predictd: 1 unchanged, 1 failed\n");
}

#[test]
fn where_models_cannot_be_listed_the_configuration_does_not_change_either() {
    let deployment = Deployment::with("[limits]\nbody = '1KiB'", &[("m.onnx", &constant(1.0, 4))]);
    let aside = deployment.models().with_file_name("aside");
    fs::rename(deployment.models(), &aside).unwrap();
    deployment.configure("[limits]\nbody = '4KiB'");
    let error = deployment.admin("POST", "/reload", "").error(500);
    assert!(error.starts_with("the folder of models cannot be read, and none was changed: "), "{error}");
    assert_eq!(deployment.server.post("/predict/m", large(2000)).status, 413);
    fs::rename(aside, deployment.models()).unwrap();
    assert_eq!(deployment.outcomes(), json!({"m": "unchanged"}));
    assert_eq!(deployment.server.post("/predict/m", large(2000)).status, 200);
}

#[test]
fn what_has_no_effect_is_said_by_a_reload_too() {
    let deployment = Deployment::of(&[("m.onnx", &constant(1.0, 4))]);
    deployment.configure("[log]\naccess = false\naccess_file = '/nowhere'");
    let note = "log.access_file is set, and has no effect: log.access is false";
    let (code, out, _) = deployment.run("reload", &[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.lines().any(|line| line == format!("note: {note}")), "{out}");
    deployment.server.process.wait_for_line(note);
}

#[test]
fn what_is_said_of_a_ready_server_counts_what_answers_now() {
    let models = [("m.onnx", &*constant(1.0, 4)), ("n.onnx", b"rubbish")];
    let deployment = Deployment::with("strict_models = false", &models);
    deployment.server.process.wait_for_line("serving 1 model on ");
    deployment.put("n.onnx", constant(2.0, 4));
    assert_eq!(deployment.outcomes(), json!({"m": "unchanged", "n": "loaded"}));
    deployment.server.process.wait_for_line("serving 2 models on ");
}

#[test]
fn a_copy_that_a_killed_server_left_is_removed() {
    let cache = tempfile::tempdir().unwrap();
    let left = cache.path().join("predictd-copy-x");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("weights.bin"), "weights").unwrap();
    let config = format!("cache = '{}'", cache.path().display());
    let deployment = Deployment::with(&config, &[("m.onnx", &constant(1.0, 4))]);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    assert_eq!(deployment.predict("m"), 1.0);
}
