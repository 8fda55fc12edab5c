//! `predictd nginx` prints what nginx takes and what works; `predictd doctor` names each of the troubles that brought its first
//! users here, as they happen with a real nginx and a real server.

use crate::{
    harness::{
        Nginx, Pass, Process, Server, copy_params, eventually, free_port, predictd, read, samples, source,
    },
    life::systemd::activated,
};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Output},
};

const MEASUREMENTS: &[u8] = b"[[5.1, 3.5, 1.4, 0.2]]";

/// doctor, which asks no server that a developer has at the default address.
fn command(arguments: &[&str]) -> Command {
    let mut command = predictd();
    command.arg("doctor").args(arguments).env("PREDICTD_ADMIN", "");
    command
}

/// What doctor says of a set-up, in JSON, and how it exits.
fn doctor(arguments: &[&str]) -> (i32, Value) {
    let Output { status, stdout, stderr } = command(&["--json"]).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&stdout);
    let json = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&stderr)));
    (status.code().unwrap(), json)
}

/// The findings that are more than notes, `subject/name`.
fn wrong(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let worse = findings.filter(|finding| finding["severity"] != "note");
    worse
        .map(|finding| {
            format!("{}/{}", finding["subject"].as_str().unwrap(), finding["name"].as_str().unwrap())
        })
        .collect()
}

/// One finding, which has everything that a finding should have.
#[track_caller]
fn finding<'a>(report: &'a Value, name: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {report:#}"));
    for part in ["what", "where", "why", "fix"] {
        assert!(found[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {found}");
    }
    assert!(!found["fix"].as_str().unwrap().contains('\n'), "{found}");
    found
}

fn listen(server: &Server) -> String {
    format!("unix:{}", server.socket().display())
}

/// A configuration of nginx on disk, as an administrator would have it, with what `location` is to contain.
fn nginx_conf(folder: &Path, user: &str, http: &str) -> String {
    let file = folder.join("nginx.conf");
    copy_params(folder);
    fs::write(&file, format!("user {user};\nevents {{ }}\nhttp {{\n{http}\n}}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

fn shipped_conf(folder: &Path, user: &str, server: &Server) -> String {
    fs::write(folder.join("uwsgi.conf"), read("nginx/uwsgi.conf")).unwrap();
    let http = format!(
        "upstream predictd {{ server {}; }} server {{ listen 8080; include uwsgi.conf; }}",
        listen(server)
    );
    nginx_conf(folder, user, &http)
}

#[test]
fn the_printed_block_is_taken_by_nginx_and_works() {
    let server = Server::start();
    for wire in ["uwsgi", "fastcgi", "http"] {
        let models = samples();
        let output = predictd()
            .args(["nginx", "--wire", wire, "--listen", &listen(&server), "--models"])
            .arg(&models)
            .output()
            .unwrap();
        let block = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{block}{}", String::from_utf8_lossy(&output.stderr));
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        assert_eq!(block.matches("listen 80;").count(), 1, "{block}");
        let block = block.replace("listen 80;", &format!("listen 127.0.0.1:{port};"));
        let nginx = Nginx::start(folder, port, &block, None);
        let reply = nginx.ask("POST", "/predict/iris", &[("X-Request-Id", "me")], MEASUREMENTS);
        assert_eq!(reply.ok()["model"], "iris", "{wire}");
        assert_eq!(reply.header("x-request-id"), Some("me"), "{wire}");
        // And doctor has nothing against what it advises.
        let file = nginx.folder.path().join("nginx.conf");
        let file = file.to_str().unwrap();
        let (_, report) =
            doctor(&["--nginx", file, "--listen", &listen(&server), "--models", models.to_str().unwrap()]);
        let of_nginx: Vec<_> =
            report["findings"].as_array().unwrap().iter().filter(|one| one["subject"] == "nginx").collect();
        assert!(of_nginx.is_empty(), "{wire}: {of_nginx:#?}");
    }
}

#[test]
fn a_wire_that_is_left_out_or_an_address_that_nginx_cannot_reach_is_no_block() {
    let run = |arguments: &[&str], wires: &str| {
        let output = predictd().arg("nginx").args(arguments).env("PREDICTD_WIRES", wires).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run(&["--wire", "http"], "uwsgi");
    assert_eq!((code, error.contains("http is not among `wires`")), (Some(78), true), "{error}");
    let (code, error) = run(&["--listen", "fd:web"], "uwsgi");
    assert_eq!((code, error.contains("where fd:web is says ListenStream=")), (Some(78), true), "{error}");
    let (code, error) = run(&["--listen", "unix:@x"], "uwsgi");
    assert_eq!((code, error.contains("no address that nginx can connect to")), (Some(78), true), "{error}");
}

#[test]
fn a_healthy_set_up_has_nothing_wrong() {
    let server = Server::with("[limits]\nconnections = 256");
    let folder = tempfile::tempdir().unwrap();
    let conf = shipped_conf(folder.path(), "root", &server);
    let (code, report) = doctor(&[
        "--nginx",
        &conf,
        "--config",
        server.folder.path().join("predictd.toml").to_str().unwrap(),
        "--listen",
        &listen(&server),
        "--models",
        samples().to_str().unwrap(),
    ]);
    assert_eq!((code, wrong(&report)), (0, vec![]), "{report:#}");
    assert!(report["looked_at"].as_array().unwrap().len() >= 5, "{report:#}");
}

/// The symptom: a worker that is busy for ever, a futex in strace, and nothing in the log.
#[test]
fn a_worker_that_is_busy_for_ever_is_named_with_its_model() {
    let models = tempfile::tempdir().unwrap();
    fs::create_dir(models.path().join("wedge")).unwrap();
    let settings = "kind = 'fake'\ndeadline = '300ms'\n[fake]\nsleep = '30s'\nignore_terminate = true";
    fs::write(models.path().join("wedge/model.toml"), settings).unwrap();
    let model = format!("wedge={}", models.path().join("wedge").display());
    let config = "[workers]\nstuck_after = '300ms'\nmax_stuck = 100";
    let server = Server::with_arguments(config, |command| {
        command.args(["--allow-fake", "--model", &model]);
    });
    server.post("/predict/wedge", "[[1.5, 2.5]]").error(504);
    server.process.wait_for_line("a run is stuck");
    let models = samples();
    let (folder, models) = (tempfile::tempdir().unwrap(), models.to_str().unwrap());
    let conf = shipped_conf(folder.path(), "root", &server);
    // By the admin interface, and without one by what every client may ask.
    let admin = format!("unix:{}", server.folder.path().join("admin.sock").display());
    let listen = listen(&server);
    for admin in [&*admin, ""] {
        let (code, report) = doctor(&[
            "--nginx", &conf, "--listen", &listen, "--admin", admin, "--models", models, "--model", &model,
        ]);
        assert_eq!(code, 69, "{report:#}");
        let stuck = finding(&report, "stuck");
        assert_eq!(stuck["what"], "model 'wedge' is stuck, and closed");
        assert!(stuck["where"].as_str().unwrap().contains("worker "), "{stuck}");
    }
    let line = server.process.wait_for_line("a run is stuck");
    assert!(explained(&line).contains("a model's run did not end, not even when told to"));
}

fn explained(line: &str) -> String {
    let output = predictd().args(["doctor", "--explain", line]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The symptom: netstat shows nginx with sockets in CLOSE_WAIT.
#[test]
fn sockets_in_close_wait_are_counted_and_their_cause_is_named() {
    let server = crate::pool::with_fakes("", &[("slow", "[fake]\nsleep = '20s'")]);
    let nginx = Nginx::with(&server, Pass::Uwsgi, "uwsgi_ignore_client_abort on;");
    let address = nginx.url.strip_prefix("http://").unwrap();
    let body = b"[[1.5, 2.5]]";
    let mut client = TcpStream::connect(address).unwrap();
    let head = format!("POST /predict/slow HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write_all(&[head.as_bytes(), body].concat()).unwrap();
    server.process.wait_for_line("a run is slow");
    drop(client);
    let (conf, models) = (nginx.folder.path().join("nginx.conf"), samples());
    let (conf, models, listen) = (conf.to_str().unwrap(), models.to_str().unwrap(), listen(&server));
    let mut report = Value::Null;
    eventually("its socket is in CLOSE_WAIT", || {
        let (code, now) = doctor(&["--nginx", conf, "--listen", &listen, "--models", models]);
        assert_ne!(code, 0, "the directive alone is a finding");
        report = now;
        wrong(&report).contains(&"system/close-wait".to_owned())
    });
    let found = finding(&report, "close-wait");
    assert!(found["fix"].as_str().unwrap().starts_with("uwsgi_ignore_client_abort off;"), "{found}");
    let cause = finding(&report, "client-abort");
    assert!(cause["where"].as_str().unwrap().contains("nginx.conf:"), "{cause}");
}

/// The symptom: 502, and (13: Permission denied) in nginx's log.
#[test]
fn a_folder_that_nginx_may_not_enter_is_named_with_the_command_that_opens_it() {
    let server = Server::with("[socket]\nmode = '0666'");
    let folder = tempfile::tempdir().unwrap();
    let conf = shipped_conf(folder.path(), "nobody", &server);
    let models = samples();
    let check =
        || doctor(&["--nginx", &conf, "--listen", &listen(&server), "--models", models.to_str().unwrap()]);
    fs::set_permissions(server.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let (code, report) = check();
    assert_eq!(code, 69, "{report:#}");
    let found = finding(&report, "permission");
    let path = fs::canonicalize(server.folder.path()).unwrap();
    assert_eq!(found["fix"], format!("chmod o+x {}", path.display()));
    assert!(found["where"].as_str().unwrap().contains("(drwx------ "), "{found}");
    // The advice is followed, and works.
    let done = Command::new("sh").arg("-c").arg(found["fix"].as_str().unwrap()).status().unwrap();
    assert!(done.success());
    let (_, report) = check();
    assert!(!wrong(&report).iter().any(|one| one.starts_with("socket/")), "{report:#}");
}

/// The symptom: it fails, and nothing is in predictd's log.
#[test]
fn a_body_that_only_nginx_refuses_is_found_before_it_comes() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let http = format!(
        "include uwsgi_params;\nserver {{ listen 8080;\n location / {{ uwsgi_pass {}; }} }}",
        listen(&server)
    );
    let conf = nginx_conf(folder.path(), "root", &http);
    let models = samples();
    let (code, report) =
        doctor(&["--nginx", &conf, "--listen", &listen(&server), "--models", models.to_str().unwrap()]);
    assert_eq!(code, 78, "{report:#}");
    let found = finding(&report, "body-size");
    assert_eq!(found["fix"], "client_max_body_size 64m;");
    assert!(found["where"].as_str().unwrap().ends_with("nginx.conf:6"), "{found}");
}

#[test]
fn what_does_not_run_is_said_and_models_are_loaded_instead() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir_all(models.join("broken")).unwrap();
    fs::write(models.join("broken/model.onnx"), "not a model").unwrap();
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let stale = format!("unix:{}", stale.display());
    let conf =
        nginx_conf(folder.path(), "root", &format!("server {{ location / {{ uwsgi_pass {stale}; }} }}"));
    let (code, report) =
        doctor(&["--nginx", &conf, "--listen", &stale, "--models", models.to_str().unwrap()]);
    assert_eq!(
        wrong(&report).iter().filter(|one| !one.starts_with("nginx/")).collect::<Vec<_>>(),
        ["socket/stale", "models/load"],
        "{report:#}"
    );
    assert_eq!(code, 78, "{report:#}");
    let load = finding(&report, "load");
    assert!(load["where"].as_str().unwrap().contains("Protobuf parsing failed"), "{load}");
    assert!(UnixStream::connect(stale.strip_prefix("unix:").unwrap()).is_err());
}

#[test]
fn who_holds_the_port_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    let (_, report) = doctor(&["--listen", &address, "--models", samples().to_str().unwrap()]);
    let clash = finding(&report, "clash");
    assert!(
        clash["where"].as_str().unwrap().starts_with(&format!("process {}", std::process::id())),
        "{clash}"
    );
}

/// The set-up with the shipped predictd.socket: the configuration has a name, and only nginx's has the address.
#[test]
fn a_socket_of_systemd_is_found_where_nginx_passes_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let models = at("models");
    fs::create_dir_all(models.join("only")).unwrap();
    fs::copy(source("models/iris/model.onnx"), models.join("only/model.onnx")).unwrap();
    let config = at("predictd.toml");
    let admin = format!("unix:{}", at("admin.sock").display());
    let text = format!(
        "listen = ['fd:web']\nadmin = '{admin}'\nmodels = '{}'\n[limits]\nconnections = 256",
        models.display()
    );
    fs::write(&config, &text).unwrap();
    let listener = UnixListener::bind(at("s.sock")).unwrap();
    rustix::net::listen(&listener, 4096).unwrap();
    let process = Process::start(activated(&config, "web", listener.into(), None));
    process.wait_for_line("phase=\"ready\"");
    // What is loaded would fail: the running server is to be asked instead.
    fs::write(models.join("only/model.onnx"), "not a model").unwrap();
    // A site under uWSGI is beside it, and answers a ping as predictd does.
    let other = UnixListener::bind(at("uwsgi.sock")).unwrap();
    std::thread::spawn(move || {
        for mut stream in other.incoming().map_while(Result::ok) {
            let mut head = [0; 4];
            let pinged = stream.read_exact(&mut head).is_ok() && head[0] == 100;
            let _ =
                stream.write_all(if pinged { b"\x64\0\0\x01" } else { b"HTTP/1.1 404 Not Found\r\n\r\n" });
        }
    });
    let location = |path: &str, to: &str| {
        format!("location {path} {{ include uwsgi_params; uwsgi_pass unix:{}; }}", at(to).display())
    };
    let conf = |locations: &str| {
        nginx_conf(folder.path(), "root", &format!("server {{ listen 8080; {locations} }}"))
    };
    let ask =
        |conf: &str| doctor(&["--nginx", conf, "--config", config.to_str().unwrap(), "--admin", &admin]);
    let has = |report: &Value, list: &str, parts: &[&str]| {
        let lines = report[list].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap());
        lines.into_iter().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    let (_, report) = ask(&conf(&(location("/site", "uwsgi.sock") + &location("/", "s.sock"))));
    assert_eq!(wrong(&report), ["nginx/body-size"], "{report:#}");
    let socket = at("s.sock").display().to_string();
    assert!(
        has(&report, "looked_at", &[&socket]) && !has(&report, "looked_at", &["uwsgi.sock"]),
        "{report:#}"
    );
    assert!(has(&report, "looked_at", &["GET /status"]), "{report:#}");
    assert!(has(&report, "looked_at", &[&format!("of process {}", process.id())]), "{report:#}");
    // Where nginx passes to others only, nothing is known of the socket, and the server is asked all the same.
    let others = conf(&location("/site", "uwsgi.sock"));
    let (code, report) = ask(&others);
    assert_eq!((code, wrong(&report)), (0, vec![]), "{report:#}");
    assert!(has(&report, "not_seen", &["whether it passes to fd:web"]), "{report:#}");
    assert!(has(&report, "looked_at", &["GET /status"]), "{report:#}");
    assert!(has(&report, "not_seen", &["the running server has its own"]), "{report:#}");
    // With nobody to ask, the models are what a start would load.
    drop(process);
    let (_, report) = ask(&others);
    assert_eq!(wrong(&report), ["models/load"], "{report:#}");
}

#[test]
fn a_predictd_with_other_settings_is_not_taken_for_a_stranger() {
    let server = Server::with("wires = ['http']");
    let (_, report) = doctor(&["--listen", &listen(&server), "--models", source("models").to_str().unwrap()]);
    let found = finding(&report, "other-settings");
    let holder = format!("process {} (", server.process.id());
    assert!(found["where"].as_str().unwrap().starts_with(&holder), "{found}");
    assert!(found["fix"].as_str().unwrap().starts_with("systemctl restart predictd"), "{found}");
    assert!(!report.to_string().contains("kill "), "{report:#}");
}

#[test]
fn mistakes_in_the_configuration_and_a_missing_library_are_findings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictd.toml");
    fs::write(&file, "[limits]\nbodi = '1MiB'\n").unwrap();
    let (code, report) = doctor(&["-c", file.to_str().unwrap()]);
    assert_eq!((code, wrong(&report)), (78, vec!["configuration/invalid".to_owned()]), "{report:#}");
    assert!(finding(&report, "invalid")["where"].as_str().unwrap().contains("predictd.toml:2"), "{report:#}");
    let output = command(&["--json", "--listen", "unix:/nowhere/p.sock", "--models"])
        .arg(samples())
        .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(wrong(&report).contains(&"onnxruntime/library".to_owned()), "{report:#}");
    assert!(wrong(&report).contains(&"socket/absent".to_owned()), "{report:#}");
}

#[test]
fn the_page_for_people_is_80_columns_and_plain_where_it_is_no_terminal() {
    let output =
        command(&["--listen", "unix:/nowhere/predictd.sock", "--models"]).arg(samples()).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(!page.contains('\x1b'), "{page}");
    for line in page.lines().filter(|line| !line.starts_with("  fix")) {
        // A path is not broken.
        let longest = line.split_whitespace().map(str::len).max().unwrap_or_default();
        assert!(line.chars().count() <= 80 || longest > 50, "{line}");
    }
    assert!(
        page.contains("error    ") && page.contains("\n  where  ") && page.contains("\n  why    "),
        "{page}"
    );
    assert!(page.contains("\n  fix    ") && page.contains("\nlooked at  "), "{page}");
}
