//! File systems that cannot be written, and the units that are shipped.

use super::configure_at;
use crate::harness::{Process, abstract_socket, is_root, predictd, program, source};
use std::{fs, path::Path, process::Command};

/// A folder on a file system of its own that cannot be written, in a name space of its own.
fn read_only(folder: &Path, config: &str) -> Command {
    let mut command = Command::new(program("unshare"));
    let user = if is_root() { "-m" } else { "-rm" };
    let script = "mount -t tmpfs -o ro none \"$0\" && exec \"$@\"";
    let mounted = folder.join("ro");
    fs::create_dir(&mounted).unwrap();
    let config = configure_at(folder, &config.replace("RO", &mounted.display().to_string()));
    command.args([user, "sh", "-c", script]).arg(&mounted).arg(predictd().get_program());
    command.args(["serve", "--config"]).arg(config);
    command
}

#[test]
fn a_file_system_that_cannot_be_written_is_named() {
    for (config, says) in [
        ("listen = ['unix:RO/s']", "a socket cannot be made on a file system that is read-only"),
        ("listen = ['127.0.0.1:0']\npidfile = 'RO/pid'", "cannot be written: Read-only file system"),
        ("listen = ['127.0.0.1:0']\n[log]\nfile = 'RO/log'", "cannot be opened: Read-only file system"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(read_only(folder.path(), config));
        assert_eq!(process.wait().code(), Some(69), "{config}");
        process.wait_for_line(says);
        assert_eq!(process.phases(), [""; 0], "before anything is loaded");
    }
}

#[test]
fn a_server_that_writes_nothing_needs_no_file_system_to_write_to() {
    let folder = tempfile::tempdir().unwrap();
    let address = abstract_socket("ro");
    let mut command = read_only(folder.path(), &format!("listen = ['{address}']"));
    command.env("TMPDIR", folder.path().join("ro"));
    let mut process = Process::start(command);
    process.wait_for_line("every user of this machine can connect");
    process.wait_for_line("phase=\"ready\"");
    let output = predictd().args(["call", &address, "GET", "/v2/health/ready"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

/// Runs a command that may open so many files, or allow itself so many.
fn limited(soft: u64, hard: u64, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -S -n {soft}; ulimit -H -n {hard}; exec \"$@\""), "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

#[test]
fn as_many_files_may_be_open_as_the_system_allows() {
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("listen = ['unix:{}']", folder.path().join("s").display());
    let config = configure_at(folder.path(), &format!("{listen}\n[limits]\nconnections = 512"));
    let mut command = predictd();
    command.args(["serve", "--config"]).arg(config);
    for (hard, enough) in [(1024, true), (256, false)] {
        let mut process = Process::start(limited(64, hard, &command));
        process.wait_for_line("phase=\"ready\"");
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
        assert_eq!(soft, hard, "{line}");
        let warns = "256 files may be open, and limits.connections = 512";
        assert_eq!(process.has_line(warns), !enough);
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0));
    }
}

/// systemd gives everything in a RuntimeDirectory to the service's user when that starts, and the socket is nginx's.
#[test]
fn the_socket_of_the_unit_is_not_in_a_folder_of_the_service() {
    let unit = |name: &str| fs::read_to_string(source("nginx").join(name)).unwrap();
    let (socket, service) = (unit("predictd.socket"), unit("predictd.service"));
    let value = |unit: &str, key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned));
        line.unwrap_or_else(|| panic!("{key}"))
    };
    let path = value(&socket, "ListenStream");
    let folder = Path::new("/run").join(value(&service, "RuntimeDirectory"));
    assert!(!Path::new(&path).starts_with(&folder), "{path} is in {}", folder.display());
    for snippet in ["uwsgi.conf", "fastcgi.conf", "http.conf"] {
        assert!(unit(snippet).contains(&format!("server unix:{path};")), "{snippet} names it");
    }
}

/// systemd.exec(5): of several lines of a list, each adds to those before it or takes from them.
#[test]
fn the_unit_lets_the_socket_be_given_to_a_group() {
    let unit = fs::read_to_string(source("nginx/predictd.service")).unwrap();
    let lines = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let may_chown = lines.fold(false, |may, line| match line.strip_prefix('~') {
        Some(taken) => may && !taken.split(' ').any(|set| ["@chown", "@privileged"].contains(&set)),
        None => may || line.split(' ').any(|set| ["@chown", "@system-service"].contains(&set)),
    });
    assert!(may_chown);
}

/// What systemd itself says of the units: with the program that is tested in place of the installed one.
#[test]
#[ignore = "needs systemd-analyze: make test"]
fn the_units_are_units_and_leave_a_service_few_rights() {
    let folder = tempfile::tempdir().unwrap();
    for unit in ["predictd.service", "predictd.socket"] {
        let text = fs::read_to_string(source("nginx").join(unit)).unwrap();
        let text = text.replace("/usr/bin/predictd", predictd().get_program().to_str().unwrap());
        fs::write(folder.path().join(unit), text).unwrap();
    }
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new(program("systemd-analyze"));
        let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
        let text = [&output.stdout[..], &output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(output.status.success(), "{text}");
        text
    };
    let said = analyze(&["verify", "--man=no", "./predictd.service", "./predictd.socket"]);
    assert!(!said.contains("predictd."), "{said}");
    // Out of 100, where 100 is no protection at all.
    analyze(&["security", "--offline=true", "--threshold=20", "./predictd.service"]);
}
