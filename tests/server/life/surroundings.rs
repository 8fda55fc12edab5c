//! Other users, file systems that cannot be written, and the units that are shipped.

use super::{configure_at, files};
use crate::harness::{Process, abstract_socket, eventually, predictd, program, source};
use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixStream,
    },
    path::Path,
    process::{Command, Output},
};

/// Who is nobody else here.
const USER: u32 = 47_110;

/// As `user`, of the group of the same number.
fn as_user(user: u32) -> Command {
    let mut command = Command::new(program("setpriv"));
    command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--clear-groups");
    command.arg(predictd().get_program());
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder of `USER`'s, with a configuration.
fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(USER), Some(USER)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("s");
    configure_at(folder.path(), &format!("listen = ['unix:{}']\n{config}", socket.display()));
    folder
}

fn call(mut command: Command, socket: &Path) -> Output {
    command.args(["call", "--wire", "http"]).arg(format!("unix:{}", socket.display()));
    command.args(["GET", "/v2/health/ready"]).output().unwrap()
}

#[test]
fn only_allowed_users_may_connect_whatever_the_file_says() {
    if !is_root() {
        return;
    }
    let folder = folder(&format!("[socket]\nmode = '0666'\nallow_users = [{}]", USER + 1));
    let mut command = as_user(USER);
    command.args(["serve", "--config"]).arg(folder.path().join("predictd.toml"));
    let process = Process::start(command);
    process.wait_for_line("phase=\"ready\"");
    let socket = folder.path().join("s");
    for (user, may) in [(0, true), (USER, true), (USER + 1, true), (USER + 2, false)] {
        let output = call(as_user(user), &socket);
        assert_eq!(output.status.success(), may, "{user}: {output:?}");
    }
    let line = process.wait_for_line("refused a connection of user");
    assert!(line.contains(&(USER + 2).to_string()), "{line}");
    call(as_user(USER + 2), &socket);
    assert_eq!(process.count_lines("refused a connection of user"), 1, "once in a while");
    // It can be changed while the server runs; a user who does not exist changes nothing.
    let allow = |users: &str| {
        let socket = socket.display();
        let config = format!("listen = ['unix:{socket}']\n[socket]\nmode = '0666'\nallow_users = [{users}]");
        configure_at(folder.path(), &config);
        process.signal("HUP");
    };
    allow("'no-such-user'");
    process.wait_for_line("there is no user 'no-such-user' on this system");
    process.wait_for_nth_line("phase=\"ready\"", 1);
    assert!(call(as_user(USER + 1), &socket).status.success());
    allow(&(USER + 2).to_string());
    process.wait_for_nth_line("phase=\"ready\"", 2);
    assert!(call(as_user(USER + 2), &socket).status.success());
    assert!(!call(as_user(USER + 1), &socket).status.success());
}

#[test]
fn a_socket_is_given_away_only_by_root() {
    if !is_root() {
        return;
    }
    for (key, value) in [("owner", "root"), ("group", "root"), ("owner", "no-such-user")] {
        let folder = folder(&format!("[socket]\n{key} = '{value}'"));
        let mut command = as_user(USER);
        command.args(["serve", "--config"]).arg(folder.path().join("predictd.toml"));
        let mut process = Process::start(command);
        assert_eq!(process.wait().code(), Some(69));
        let line = process.wait_for_line(&format!("socket.{key}"));
        let why = if value == "root" { "only root may give" } else { "there is no user" };
        assert!(line.contains(why), "{line}");
        assert_eq!(files(folder.path()), ["predictd.toml"]);
    }
}

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

#[test]
fn a_socket_of_another_group_can_be_made_by_root() {
    if !is_root() {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let folder = folder(&format!("[socket]\ngroup = '{USER}'\nmode = '0660'"));
    let mut command = predictd();
    command.args(["serve", "--config"]).arg(folder.path().join("predictd.toml"));
    let process = Process::start(command);
    process.wait_for_line("phase=\"ready\"");
    let socket = folder.path().join("s");
    let metadata = fs::metadata(&socket).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (0, USER));
    assert!(call(as_user(USER), &socket).status.success());
    assert!(!call(as_user(USER + 1), &socket).status.success());
    eventually("it still answers", || UnixStream::connect(&socket).is_ok());
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
