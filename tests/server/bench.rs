//! `predictd bench`: figures of both sides, errors that say what is wrong, an end at any time.

use crate::harness::{Process, eventually, predictd, program, samples, source};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn bench(arguments: &[&str]) -> (i32, String, String) {
    let temporary = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } =
        predictd().arg("bench").args(arguments).env("TMPDIR", temporary.path()).output().unwrap();
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "it leaves something behind");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    // That the machine is busy is true here, and nothing to the point.
    let said: String = text(stderr).lines().filter(|line| !line.contains("the machine is busy")).collect();
    (status.code().unwrap(), text(stdout), said)
}

fn figures(arguments: &[&str]) -> Value {
    let (code, out, err) = bench(&[arguments, &["--json", "--seconds", "0.05"]].concat());
    assert_eq!((code, &*err), (0, ""), "{out}");
    serde_json::from_str(&out).unwrap()
}

fn fake(folder: &Path, name: &str, settings: &str) {
    fs::create_dir_all(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("model.toml"), format!("kind = \"fake\"\n{settings}")).unwrap();
}

#[test]
fn a_model_is_measured_by_itself_and_through_the_socket() {
    let models = samples();
    let said = figures(&["iris", "--clients", "3", "--models", models.to_str().unwrap()]);
    assert_eq!(
        (&said["model"], &said["version"], &said["clients"]),
        (&"iris".into(), &"1".into(), &3.into())
    );
    assert_eq!(said["inputs"][0]["shape"], serde_json::json!([1, 4]));
    let lines = said["measured"].as_array().unwrap();
    let rows: Vec<&Value> = lines.iter().map(|line| &line["rows"]).collect();
    assert_eq!(rows, [1, 2, 4, 8]);
    for line in lines {
        let (engine, server) = (&line["engine"], &line["server"]);
        assert!(engine["runs"].as_u64() > Some(0) && server["requests"].as_u64() > Some(0), "{line}");
        assert_eq!((&server["failed"], &server["error"]), (&0.into(), &Value::Null), "{line}");
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{line}"));
        let (runs, requests) = (number(&engine["runs_per_s"]), number(&server["requests_per_s"]));
        assert!((number(&line["ratio"]) - requests / runs).abs() < 1e-9, "{line}");
        for side in [engine, server] {
            let (half, most) = (number(&side["p50_s"]), number(&side["p99_s"]));
            assert!(0.0 < half && half <= most, "{line}");
        }
        // A run has at least the rows of one request.
        assert!(number(&server["rows_per_run"]) >= number(&line["rows"]), "{line}");
    }
}

#[test]
fn a_server_that_does_not_speak_uwsgi_is_measured_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictd.toml");
    fs::write(&file, "wires = ['http']").unwrap();
    let models = samples();
    let said = figures(&["iris", "--models", models.to_str().unwrap(), "--config", file.to_str().unwrap()]);
    for line in said["measured"].as_array().unwrap() {
        assert!(line["server"]["requests"].as_u64() > Some(0), "{line}");
        assert_eq!(line["server"]["failed"], 0, "{line}");
    }
}

#[test]
fn a_model_is_named_or_is_a_path_and_the_table_fits_a_terminal() {
    let digits = source("models/digits");
    let busy = source("tests/data/models/busy/model.onnx");
    let dynamic = source("tests/data/models/dynamic_dims");
    for (model, says) in [
        (
            &digits,
            &["digits version 1, by ONNX Runtime", "image FP32 [-1, 1, 28, 28]", "engine at best  "][..],
        ),
        (
            &digits.join("model.onnx"),
            &["digits version 1", "engine, in a bare loop", "server, through its socket"],
        ),
        (&busy, &["busy version 1", "\n   -  ", "made up as []"]),
        (&dynamic, &["negative FP32 [-1, 2], made up as [1, 2]"]),
    ] {
        let (code, out, err) = bench(&[model.to_str().unwrap(), "--seconds", "0.02"]);
        assert_eq!((code, &*err), (0, ""), "{out}");
        for part in says {
            assert!(out.contains(part), "{part}: {out}");
        }
        let long: Vec<&str> = out.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:#?}");
    }
}

#[test]
fn what_cannot_be_measured_is_said_and_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broken.onnx"), "no model").unwrap();
    fake(folder.path(), "panicking", "[fake]\npanic = true\n");
    fake(folder.path(), "pretence", "");
    let models = folder.path().to_str().unwrap();
    let failing = source("tests/data/models/fail_at_run/model.onnx");
    let failing = failing.to_str().unwrap();
    let (code, _, err) = bench(&["nobody", "--models", "/nowhere"]);
    assert!(
        code == 78 && err.ends_with("; /nowhere cannot be read: No such file or directory (os error 2)"),
        "{err}"
    );
    for (arguments, code, says) in [
        (&["nobody"][..], 78, "there is no model 'nobody' in /"),
        (&["nobody"], 78, "and no such file; there are broken, panicking, pretence"),
        (&["broken"], 78, "Protobuf parsing failed"),
        (&["pretence"], 78, "only with --allow-fake"),
        (&["panicking", "--allow-fake"], 70, "model 'panicking': a run panicked"),
        (&[failing], 70, "model 'fail_at_run': it cannot be run on numbers that are made up: "),
        (&["broken", "--clients", "0"], 64, "--clients"),
        (&["broken", "--seconds", "never"], 64, "write a number"),
        (&[], 64, "MODEL"),
    ] {
        let (got, out, err) = bench(&[arguments, &["--models", models]].concat());
        assert_eq!((got, &*out), (code, ""), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
    let Output { status, stderr, .. } = predictd()
        .args(["bench", source("models/iris").to_str().unwrap()])
        .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
        .output()
        .unwrap();
    assert_eq!(status.code(), Some(69), "{}", String::from_utf8_lossy(&stderr));
}

#[test]
fn requests_that_the_server_refuses_are_told() {
    let folder = tempfile::tempdir().unwrap();
    fake(folder.path(), "slow", "[fake]\nsleep = \"5ms\"\n[batch]\nmax_rows = 1\nqueue = 1\n");
    let models = folder.path().to_str().unwrap();
    let arguments = ["slow", "--models", models, "--allow-fake", "--clients", "32", "--seconds", "0.2"];
    let (code, out, err) = bench(&arguments);
    assert_eq!((code, &*err), (0, ""), "{out}");
    assert!(out.contains("input FP32 [-1, -1], made up as [1, 32]"), "{out}");
    assert!(out.contains("requests of 1 row failed: 503 Service Unavailable: model 'slow'"), "{out}");
}

#[test]
fn a_signal_ends_it_with_what_was_measured_so_far() {
    let folder = tempfile::tempdir().unwrap();
    fake(folder.path(), "stuck", "[fake]\nsleep = \"1h\"\nignore_terminate = true\n");
    let (models, iris) = (folder.path().to_str().unwrap().to_owned(), source("models/iris"));
    let iris = iris.to_str().unwrap();
    for (arguments, thread, shows) in [
        // The engine has been measured when there are clients.
        (vec![iris, "--seconds", "0.5"], "client", true),
        (vec!["stuck", "--models", &models, "--allow-fake"], "engine", false),
    ] {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = predictd();
        command.arg("bench").args(arguments).env("TMPDIR", temporary.path());
        let printed = tempfile::NamedTempFile::new().unwrap();
        command.stdout(printed.reopen().unwrap());
        let mut process = Process::start_as(command);
        let threads = format!("/proc/{}/task", process.id());
        eventually("it is at it", || {
            let mut names = fs::read_dir(&threads)
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
            names.any(|name| name.trim() == thread)
        });
        process.signal("INT");
        let status = process.wait();
        let out = fs::read_to_string(printed.path()).unwrap();
        assert_eq!(status.code(), Some(130), "{out}");
        assert_eq!(out.contains("ended by SIGINT before all was measured"), shows, "{out}");
        assert_eq!(out.contains("\n   1  "), shows, "{out}");
        assert_eq!(process.has_line("ended by SIGINT before anything was measured"), !shows);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "it leaves something behind");
    }
}

#[test]
fn on_a_terminal_it_says_what_it_is_at() {
    let command =
        format!("{} bench {} --seconds 0.2", env!("CARGO_BIN_EXE_predictd"), source("models/iris").display());
    let Output { status, stdout, .. } =
        Command::new(program("script")).args(["-qec", &command, "/dev/null"]).output().unwrap();
    let out = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{out}");
    for part in ["\r\x1b[Kloading iris", "\r\x1b[K1 of 8: engine, 1 row", "\r\x1b[K8 of 8: server, 8 rows"] {
        assert!(out.contains(part), "{part:?}: {out:?}");
    }
}
