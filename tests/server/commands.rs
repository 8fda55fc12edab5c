//! What the commands print and how they exit.

use crate::harness::{abstract_socket, predictd, samples, source};
use std::{fs, process::Output};

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = predictd().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn a_good_set_up_checks_out() {
    let models = samples();
    let (code, out, err) = run(&["check", "--models", models.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    for part in [
        "ok",
        "digits",
        "iris",
        "measurements FP32 [-1, 4]",
        "cores allowed",
        "127.0.0.1:8090",
        "ONNX Runtime 1.",
    ] {
        assert!(
            out.contains(part) || part == "cores allowed" && out.contains("core allowed"),
            "{part}: {out}"
        );
    }
}

#[test]
fn usage_errors_exit_with_64() {
    for arguments in [&["serv"][..], &["serve", "--nonsense"], &["serve", "--model", "x"], &[]] {
        let (code, _, err) = run(arguments);
        assert_eq!(code, 64, "{arguments:?}: {err}");
        assert!(err.contains("--help"), "{err}");
    }
    assert_eq!(run(&["--version"]).0, 0);
    assert_eq!(run(&["--help"]).0, 0);
}

#[test]
fn a_broken_configuration_exits_with_78_and_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictd.toml");
    fs::write(&file, "[limits]\nbodi = '1MiB'\n").unwrap();
    for verb in ["serve", "check"] {
        let (code, _, err) = run(&[verb, "-c", file.to_str().unwrap()]);
        assert_eq!(code, 78, "{err}");
        let line =
            format!("{}:2:1: limits.bodi: there is no such key; did you mean `body`?\n", file.display());
        assert!(err.starts_with(&line), "{err}");
    }
}

#[test]
fn a_broken_model_exits_with_78_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("broken")).unwrap();
    fs::write(folder.path().join("broken/model.onnx"), "not a model").unwrap();
    fs::copy(source("models/iris/model.onnx"), folder.path().join("iris.onnx")).unwrap();
    let models = folder.path().to_str().unwrap();
    let (code, out, err) = run(&["check", "--models", models]);
    assert_eq!(code, 78, "{out}{err}");
    assert!(out.contains("FAILED  broken") && out.contains("ok      iris version 1"), "{out}");
    assert!(out.contains("Protobuf parsing failed") && out.contains("1 of 2 models"), "{out}");
    let (code, _, err) =
        run(&["serve", "--models", models, "--admin", "", "--listen", &abstract_socket("broken")]);
    assert_eq!(code, 78, "{err}");
    assert!(err.contains("model 'broken'") && err.contains("Protobuf parsing failed"), "{err}");
}

#[test]
fn a_folder_of_models_that_is_not_there_is_named_once() {
    let (code, _, err) = run(&["check", "--models", "/nowhere"]);
    assert_eq!(code, 78, "{err}");
    assert_eq!(err.matches("No such file").count(), 1, "{err}");
    assert!(err.contains("/nowhere cannot be read"), "{err}");
}

#[test]
fn without_the_library_it_says_where_it_looked_and_what_to_do() {
    let models = samples();
    let Output { status, stderr, .. } = predictd()
        .args(["check", "--models", models.to_str().unwrap()])
        .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
        .output()
        .unwrap();
    let error = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(69), "{error}");
    for part in ["nowhere to be found", "/nowhere/libonnxruntime.so (ORT_DYLIB_PATH)", "pip install"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_library_that_is_none_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    for (content, says) in [(&[b'x'; 4096][..], "invalid ELF header"), (b"", "is empty")] {
        let file = folder.path().join("libonnxruntime.so");
        fs::write(&file, content).unwrap();
        let Output { status, stderr, .. } =
            predictd().arg("check").env("ORT_DYLIB_PATH", &file).output().unwrap();
        let error = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(69), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_call_goes_by_any_wire() {
    let server = crate::harness::Server::start();
    let address = format!("unix:{}", server.socket().display());
    let picture = format!("@{}", source("models/digits/samples/3.png").display());
    for wire in ["uwsgi", "fastcgi", "http"] {
        let (code, out, err) =
            run(&["call", "--wire", wire, &address, "POST", "/predict/digits?top_k=1", "--data", &picture]);
        assert_eq!(code, 0, "{wire}: {err}");
        assert!(
            out.starts_with(r#"{"model":"digits","version":"1","results":[{"classes":[{"label":"3""#),
            "{out}"
        );
        let (code, out, err) =
            run(&["call", "--wire", wire, "-H", "X-Request-Id: me", "-i", &address, "GET", "/none"]);
        assert_eq!(code, 1, "{wire}: {err}");
        for part in ["404 Not Found", "x-request-id: me", r#"{"error":"there is nothing at /none"}"#] {
            assert!(out.contains(part), "{wire}: {out}");
        }
    }
    assert_eq!(run(&["call", "--ping", &address]), (0, "the server answers\n".into(), String::new()));
    let (code, _, err) = run(&["call", "--ping", "unix:/nowhere/predictd.sock"]);
    assert_eq!(code, 69);
    assert!(
        err.contains("cannot connect to unix:/nowhere/predictd.sock: No such file or directory"),
        "{err}"
    );
    assert_eq!(run(&["call", &address]).0, 64);
    assert_eq!(run(&["call", "nowhere", "GET", "/"]).0, 64);
}

#[test]
fn a_model_is_inspected_and_given_a_model_toml_to_start_from() {
    let model = |name: &str| source(name).join("model.onnx").to_str().unwrap().to_owned();
    let inspect = |name: &str, says: &[&str]| {
        let (code, out, err) = run(&["inspect", &model(name)]);
        assert_eq!((code, &*err), (0, ""), "{out}");
        for part in says {
            assert!(out.contains(part), "{part} is not in\n{out}");
        }
    };
    let digits = [
        "in     image FP32 [-1, 1, 28, 28]",
        "made   train_digits",
        "opset  ai.onnx 17",
        "is     digit reader, held-out accuracy",
        " us for 1 row, ",
        " for 8 rows, ",
        "the rows of several requests can be one run",
        "kind = \"image\"",
        "one of 10 classes by the tensor 'probabilities'",
    ];
    inspect("models/digits", &digits);
    inspect("tests/data/models/busy", &["shares no runs: its input 'rounds' is a single value"]);
    inspect("tests/data/models/fail_at_run", &["runs   not on numbers that are made up: "]);
    // Its model.toml is one that serves.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("digits")).unwrap();
    fs::copy(model("models/digits"), folder.path().join("digits/model.onnx")).unwrap();
    let (code, toml, _) = run(&["inspect", "--toml", &model("models/digits")]);
    assert_eq!(code, 0);
    fs::write(folder.path().join("digits/model.toml"), toml).unwrap();
    let (code, out, err) = run(&["check", "--models", folder.path().to_str().unwrap()]);
    assert!(code == 0 && out.contains("from a picture") && out.contains("as classes"), "{out}{err}");
    for (file, says) in [("README.md", "Protobuf parsing failed."), ("none.onnx", "No such file")] {
        let (code, _, err) = run(&["inspect", source(file).to_str().unwrap()]);
        assert!(code == 78 && err.contains(says), "{err}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_said_to_be_so_and_never_passed_over_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictd.toml");
    let models = samples();
    let check = |fallback: bool| {
        let models = models.display();
        let text =
            format!("models = '{models}'\n[onnxruntime]\nproviders = ['cuda', 'cpu']\nfallback = {fallback}");
        fs::write(&file, text).unwrap();
        let mut command = predictd();
        command.args(["serve", "--listen", &abstract_socket("gpu"), "--admin", "", "-c"]).arg(&file);
        command
    };
    let output = check(false).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{error}");
    assert!(error.contains("CUDA cannot start: ") && error.contains("fallback = true"), "{error}");
    let mut process = crate::harness::Process::start(check(true));
    let line = process.wait_for_line("CUDA cannot start, and is passed over");
    assert!(line.contains("WARN"), "{line}");
    process.wait_for_line("providers=\"CPU\"");
    process.wait_for_line("phase=\"ready\"");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}
