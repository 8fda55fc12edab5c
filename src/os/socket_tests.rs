//! Of [`super`]: real sockets in a temporary folder.

use super::*;
use crate::os::listening;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::PathBuf,
};

fn folder() -> (tempfile::TempDir, PathBuf, Address) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let address = Address::Unix(path.clone());
    (folder, path, address)
}

fn options() -> Options {
    Options { backlog: 16, ..Options::default() }
}

fn bind_with(address: &Address, change: impl Fn(&mut Options)) -> Result<Bound, BindError> {
    let mut options = options();
    change(&mut options);
    bind(address, &options)
}

#[test]
fn a_socket_has_its_mode_whatever_the_umask_and_goes_with_its_server() {
    let (folder, path, address) = folder();
    for mode in [0o660, 0o600, 0o666, 0o777, 0o000] {
        let bound = bind_with(&address, |options| options.mode = mode).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        drop(bound);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{mode:o}");
    }
}

#[test]
fn nobody_can_connect_before_it_listens_nor_take_its_place() {
    let (folder, path, address) = folder();
    let reserved = reserve(&address, &options()).unwrap();
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert!(matches!(bind(&address, &options()), Err(BindError::Starting(_))));
    let bound = reserved.listen().unwrap();
    UnixStream::connect(&path).unwrap();
    assert!(matches!(bind(&address, &options()), Err(BindError::InUse(_))));
    drop(bound);
    drop(reserve(&address, &options()).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn of_many_that_start_at_once_one_has_the_socket() {
    let (folder, path, address) = folder();
    drop(UnixListener::bind(&path).unwrap());
    let (held, others) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| bind(&address, &options()))).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.partition::<Vec<_>, _>(Result::is_ok)
    });
    assert_eq!(held.len(), 1, "{others:?}");
    for other in others {
        assert!(matches!(other, Err(BindError::InUse(_))), "{other:?}");
    }
    UnixStream::connect(&path).unwrap();
    drop(held);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let (_folder, path, address) = folder();
    drop(UnixListener::bind(&path).unwrap());
    let bound = bind(&address, &options()).unwrap();
    assert!(matches!(bind(&address, &options()), Err(BindError::InUse(_))));
    UnixStream::connect(&path).unwrap();
    drop(bound);
}

#[test]
fn a_full_backlog_is_a_live_server() {
    let (_folder, path, address) = folder();
    let bound = bind_with(&address, |options| options.backlog = 0).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    assert!(matches!(bind(&address, &options()), Err(BindError::InUse(_))));
    drop(bound);
}

#[test]
fn what_cannot_be_is_said_and_leaves_nothing() {
    let (folder, path, address) = folder();
    let says = |address: &Address, change: &dyn Fn(&mut Options), part: &str| {
        let error = bind_with(address, change).unwrap_err().to_string();
        assert!(error.starts_with(&address.to_string()) && error.contains(part), "{error}");
    };
    let nobody = || Some("no-such-user".parse().unwrap());
    says(&address, &|options| options.owner = nobody(), "socket.owner: there is no user 'no-such-user'");
    says(&address, &|options| options.group = nobody(), "socket.group: there is no group 'no-such-user'");
    says(&Address::Unix(folder.path().join("no/s")), &|_| {}, "the folder does not exist");
    says(&Address::Unix(folder.path().join("x".repeat(120))), &|_| {}, "at most 107 bytes");
    says(&Address::Abstract("x".repeat(120)), &|_| {}, "at most 107 bytes");
    says(
        &Address::Inherited("web".into()),
        &|_| {},
        "no socket of that name was handed over by systemd; none were",
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(&path, "x").unwrap();
    says(&address, &|_| {}, "no socket");
    assert_eq!(fs::read(&path).unwrap(), b"x");
    std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
    says(&Address::Unix(folder.path().join("link")), &|_| {}, "no socket");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_path_of_107_bytes_will_do() {
    let (folder, ..) = folder();
    let room = 107 - folder.path().as_os_str().len() - 1;
    let bound = bind(&Address::Unix(folder.path().join("x".repeat(room))), &options()).unwrap();
    drop(bound);
    assert!(bind(&Address::Unix(folder.path().join("x".repeat(room + 1))), &options()).is_err());
}

#[test]
fn a_socket_is_given_to_whom_it_is_for() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let (_folder, path, address) = folder();
    let bound = bind_with(&address, |options| {
        options.owner = Some("4711".parse().unwrap());
        options.group = Some("4712".parse().unwrap());
    });
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (4711, 4712));
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    drop(bound);
    assert!(!path.exists());
}

#[test]
fn anothers_socket_is_not_removed() {
    let (_folder, path, address) = folder();
    let bound = bind(&address, &options()).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(bound);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_socket_that_was_given_up_is_not_removed() {
    let (_folder, path, address) = folder();
    let bound = bind(&address, &options()).unwrap();
    bound.claim.give_up();
    let handed = Handed {
        address: address.clone(),
        fd: bound.fd.try_clone().unwrap(),
        file: bound.claim.file().cloned(),
    };
    drop(bound);
    let mut inherited = Inherited::new(vec![handed]);
    let mut taken = inherited.reserve(&address, &options()).unwrap();
    let bound = taken.remove(0).listen().unwrap();
    UnixStream::connect(&path).unwrap();
    assert!(!bound.claim.is_ours());
    bound.claim.take_over();
    drop(bound);
    assert!(!path.exists());
}

#[test]
fn a_socket_of_the_process_before_us_becomes_what_ours_would_be() {
    let (_folder, path, address) = folder();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let backlog = || {
        let all = listening::unix().unwrap();
        all.into_iter().find(|listening| listening.at == listening::At::Unix(path.clone())).unwrap().backlog
    };
    let bound = bind(&address, &options()).unwrap();
    assert_eq!((mode(), backlog()), (0o660, 16));
    let hand = || {
        let (fd, file) = (bound.fd.try_clone().unwrap(), bound.claim.file().cloned());
        Inherited::new(vec![Handed { address: address.clone(), fd, file }])
    };
    let changed = Options { mode: 0o600, backlog: 5, ..options() };
    let reserved = hand().reserve(&address, &changed).unwrap().remove(0);
    assert_eq!((mode(), backlog()), (0o660, 16), "not before it is to listen");
    reserved.listen().unwrap();
    assert_eq!((mode(), backlog()), (0o600, 5));
    let unknown = Options { group: Some("no-such-group".parse().unwrap()), ..options() };
    let error = hand().reserve(&address, &unknown).unwrap_err().to_string();
    assert!(error.ends_with("socket.group: there is no group 'no-such-group' on this system"), "{error}");
    // Another file in its place is left alone.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    let before = mode();
    hand().reserve(&address, &changed).unwrap().remove(0).listen().unwrap();
    assert_eq!(mode(), before);
}

#[test]
fn sockets_are_inherited_by_name() {
    let listener =
        |name: &str, fd: OwnedFd| Handed { address: Address::Inherited(name.into()), fd, file: None };
    let tcp = || OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let connected = OwnedFd::from(UnixStream::pair().unwrap().0);
    let mut inherited =
        Inherited::new(vec![listener("web", tcp()), listener("odd", connected), listener("web", tcp())]);
    let mut reserve = |name: &str| inherited.reserve(&Address::Inherited(name.into()), &options());
    let web = reserve("web").unwrap();
    assert_eq!(web.len(), 2);
    for reserved in web {
        let bound = reserved.listen().unwrap();
        assert!(matches!(bound.address, Address::Tcp(_)) && !bound.claim.is_ours());
    }
    let error = reserve("admin").unwrap_err().to_string();
    assert_eq!(error, "fd:admin: no socket of that name was handed over by systemd; there is fd:odd");
    assert!(matches!(reserve("odd"), Err(BindError::NotListening(_))));
    assert!(inherited.rest().is_empty());
}

#[test]
fn a_tcp_port_of_zero_is_chosen_by_the_kernel() {
    let bound = bind(&"127.0.0.1:0".parse().unwrap(), &options()).unwrap();
    let Address::Tcp(address) = &bound.address else { panic!() };
    assert_ne!(address.port(), 0);
    assert!(matches!(bind(&bound.address, &options()), Err(BindError::InUse(_))));
}
