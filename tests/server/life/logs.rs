//! Where the log goes: files that are opened anew, pipes that nobody reads, disks that are full.

use super::Other;
use crate::harness::{Process, Server, eventually, predictd, samples};
use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
};

fn with_files(access: bool) -> Server {
    Server::with_folder("", |folder, command| {
        command.env("PREDICTD_LOG__FILE", folder.join("log"));
        if access {
            command.env("PREDICTD_LOG__ACCESS_FILE", folder.join("access"));
        }
    })
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn files_are_opened_anew_by_sigusr1() {
    let mut server = with_files(true);
    let path = |name: &str| server.folder.path().join(name);
    server.get("/v2/health/live?before").ok();
    eventually("the access log has it", || read(&path("access")).contains("before"));
    assert!(read(&path("log")).contains("phase=\"ready\"") && !read(&path("log")).contains("before"));
    assert!(!read(&path("log")).contains('\x1b'), "no colour in files");
    for name in ["log", "access"] {
        fs::rename(path(name), path(&format!("{name}.1"))).unwrap();
    }
    server.process.signal("USR1");
    eventually("there are new files", || path("log").exists() && path("access").exists());
    server.get("/v2/health/live?after").ok();
    eventually("the new file has it", || read(&path("access")).contains("after"));
    assert!(!read(&path("access.1")).contains("after"));
    server.process.signal("TERM");
    assert_eq!(server.process.wait().code(), Some(0));
    assert!(read(&path("log")).contains("stopped"), "the last line is written");
}

#[test]
fn one_file_may_hold_both() {
    let mut server = with_files(false);
    server.get("/v2/health/live?both").ok();
    server.process.signal("TERM");
    assert_eq!(server.process.wait().code(), Some(0));
    let log = read(&server.folder.path().join("log"));
    assert!(log.contains("both") && log.contains("phase=\"stopped\""), "{log}");
}

#[test]
fn a_file_that_cannot_be_opened_is_said_before_anything_is_loaded() {
    let mut command = predictd();
    command.args(["serve", "--models"]).arg(samples());
    command.env("PREDICTD_LOG__FILE", "/nowhere/log");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("log.file: /nowhere/log cannot be opened: No such file"), "{error}");
}

#[test]
fn a_full_disk_stops_nobody() {
    let mut server = Server::with_folder("", |_, command| {
        command.env("PREDICTD_LOG__FILE", "/dev/full");
    });
    for _ in 0..200 {
        server.get("/v2/health/live").ok();
    }
    server.process.wait_for_line("/dev/full cannot be written, and is tried again: No space left on device");
    server.process.signal("TERM");
    assert_eq!(server.process.wait().code(), Some(0));
}

#[test]
fn a_pipe_that_nobody_reads_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let mut command = predictd();
    command.args(["serve", "--admin", "", "--models"]).arg(samples());
    command.arg("--listen").arg(format!("unix:{}", socket.display()));
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let server = Other(child.id());
    let mut pipe = child.stderr.take().unwrap();
    eventually("it listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    let path = format!("/v2/health/live?{}", "x".repeat(4000));
    let ask = || {
        crate::harness::ask_on(
            std::os::unix::net::UnixStream::connect(&socket).unwrap(),
            "GET",
            &path,
            &[],
            b"",
        )
        .ok()
    };
    // More than a pipe and our buffer hold: the log has 1,000 bytes of each path.
    for _ in 0..1500 {
        ask();
    }
    // What is lost is told to whoever reads after all.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    });
    ask();
    server.signal("TERM");
    eventually("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = reader.join().unwrap();
    assert!(text.contains("lines of the log are lost"), "{}", text.len());
    assert!(text.lines().all(|line| line.starts_with("20")), "every line is whole");
}

#[test]
fn without_standard_streams_it_serves_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).arg(predictd().get_program());
    command.args(["serve", "--admin", "", "--models"]).arg(samples());
    command.arg("--listen").arg(format!("unix:{}", socket.display()));
    let mut process = Process::start(command);
    eventually("it listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    crate::harness::ask_on(
        std::os::unix::net::UnixStream::connect(&socket).unwrap(),
        "GET",
        "/v2/health/ready",
        &[],
        b"",
    )
    .ok();
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert!(!socket.exists());
}
