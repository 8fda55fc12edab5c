//! Other users: what they may do, and what is theirs. Only root can be each of them.

use super::{configure_at, files};
use crate::harness::{Process, eventually, predictd, program};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
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
#[ignore = "needs root: make test"]
fn only_allowed_users_may_connect_whatever_the_file_says() {
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
    process.wait_for_line(&format!("refused a connection of user {}:", USER + 2));
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
#[ignore = "needs root: make test"]
fn a_socket_is_given_away_only_by_root() {
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

#[test]
#[ignore = "needs root: make test"]
fn a_socket_of_another_group_can_be_made_by_root() {
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
