//! Other users: what they may do, and what is theirs. Only root can be each of them.

use super::{configure_at, files};
use crate::harness::{Process, by_http, eventually, free_port, predictd, program, samples};
use std::{
    fs,
    net::TcpStream,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
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

/// A control group of ours for one controller, as a container has it; gone when dropped.
struct Group(PathBuf);

impl Group {
    /// With `limits`, which are files and what to write to them, for the second version of the interface and the first;
    /// `None` where there are no such groups.
    fn of(controller: &str, limits: [(&str, &str); 2]) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let (above, (file, limit)) = if controllers.split_whitespace().any(|one| one == controller) {
            fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).ok()?;
            (root.to_owned(), limits[0])
        } else {
            (root.join(controller), limits[1])
        };
        let folder = above.join(format!("predictd-test-{}-{controller}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = Self(folder);
        fs::write(group.0.join(file), limit).ok()?;
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel takes a moment after the last process of it.
        eventually("the group is empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
#[ignore = "needs root: make test"]
fn a_container_is_the_whole_machine() {
    let groups = [
        Group::of("cpu", [("cpu.max", "100000 100000"), ("cpu.cfs_quota_us", "100000")]),
        Group::of("memory", [("memory.max", "268435456"), ("memory.limit_in_bytes", "268435456")]),
    ];
    let [Some(cpu), Some(memory)] = &groups else {
        eprintln!("*** NOT RUN *** there can be no control groups of one's own here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config =
        format!("models = '{}'\nadmin = '127.0.0.1:{port}'\n[limits]\nbody = '1MiB'", samples().display());
    fs::write(folder.path().join("predictd.toml"), config).unwrap();
    let mut command = Command::new("/bin/sh");
    let join =
        format!("echo $$ >{0}/cgroup.procs; echo $$ >{1}/cgroup.procs", cpu.0.display(), memory.0.display());
    command.arg("-c").arg(format!("{join}; exec \"$@\"")).arg("sh").arg(predictd().get_program());
    command.args(["serve", "--listen"]).arg(format!("unix:{}", folder.path().join("s").display()));
    command.arg("--config").arg(folder.path().join("predictd.toml"));
    let process = Process::start(command);
    process.wait_for_line("phase=\"ready\"");
    process.wait_for_line(" 1 worker x 1 thread");
    let status = by_http(
        TcpStream::connect(("127.0.0.1", port)).unwrap(),
        "GET",
        "/status",
        &[("Host", "localhost")],
        &[],
    )
    .ok();
    assert_eq!(status["workers"].as_array().unwrap().len(), 1);
    // A fourth of the memory that there is.
    assert_eq!(status["memory"]["in_flight_limit_bytes"], 64 << 20);
}
