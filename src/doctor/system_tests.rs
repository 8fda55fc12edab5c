//! A table of what is seen of a machine, and what is said of it.

use super::*;
use crate::doctor::identity::Identity;

fn healthy() -> Seen {
    Seen {
        open_files: Some((65536, Limited::Server(7))),
        cores: 2,
        quota: Some(2.0),
        memory: Some(8 << 30),
        server_is_root: false,
        telemetry: Some("1".into()),
        overflows: 0,
        mandatory: None,
        user_namespace: false,
        close_wait: Vec::new(),
    }
}

#[track_caller]
fn check(seen: &Seen, asked: &Asked, expected: &[&str]) {
    let found: Vec<String> =
        findings(seen, asked, false).iter().map(|one| format!("{} {}", one.severity, one.name)).collect();
    assert_eq!(found, expected);
}

#[test]
fn each_limit_that_is_too_low_is_found() {
    let asked = Asked::example();
    check(&healthy(), &asked, &[]);
    check(
        &Seen { open_files: Some((1024, Limited::Server(7))), ..healthy() },
        &asked,
        &["warning open-files"],
    );
    check(&Seen { open_files: Some((1024, Limited::Shell)), ..healthy() }, &asked, &["note open-files"]);
    check(&Seen { memory: Some(128 << 20), ..healthy() }, &asked, &["warning memory"]);
    check(&Seen { server_is_root: true, ..healthy() }, &asked, &["note root"]);
    check(&Seen { telemetry: None, ..healthy() }, &asked, &["warning telemetry"]);
    check(&Seen { telemetry: Some("0".into()), ..healthy() }, &asked, &["warning telemetry"]);
    check(&Seen { overflows: 3, ..healthy() }, &asked, &["note overflows"]);
    check(&Seen { mandatory: Some("SELinux"), ..healthy() }, &asked, &["note mandatory"]);
    let picky = Asked { allow_users: vec!["www-data".parse().unwrap()], ..asked.clone() };
    check(&Seen { user_namespace: true, ..healthy() }, &picky, &["note user-namespace"]);
    check(&Seen { user_namespace: true, ..healthy() }, &asked, &[]);
    let waiting = Seen { close_wait: vec!["127.0.0.1:80".parse().unwrap()], ..healthy() };
    check(&waiting, &asked, &["warning close-wait"]);
    assert!(findings(&waiting, &asked, true)[0].fix.starts_with("uwsgi_ignore_client_abort off;"));
}

#[test]
fn workers_are_held_against_cores_and_quota() {
    let with = |count| Asked { workers_asked: Some(count), ..Asked::example() };
    check(&healthy(), &with(2), &[]);
    check(&healthy(), &with(4), &["warning quota"]);
    check(&Seen { quota: None, ..healthy() }, &with(4), &["note cores"]);
    check(&Seen { quota: Some(1.5), ..healthy() }, &with(2), &[]);
}

#[test]
fn what_is_advised_where_memory_is_short_is_a_configuration_and_enough() {
    let fix = |memory: u64, body: u64, weights: u64, in_flight: Option<u64>| {
        let asked = Asked { body: body << 20, weights: weights << 20, in_flight, ..Asked::example() };
        let found = findings(&Seen { memory: Some(memory << 20), ..healthy() }, &asked, false);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].fix.split("   # ").next().unwrap_or_default().to_owned()
    };
    assert_eq!(fix(512, 64, 100, Some(1 << 30)), "in_flight = \"128MiB\"");
    // in_flight below body is no configuration.
    assert_eq!(fix(1024, 200, 100, Some(1 << 30)), "in_flight = \"400MiB\"");
    // No value of it would do.
    assert_eq!(fix(256, 64, 300, Some(1 << 30)), "MemoryMax=2G");
    assert_eq!(fix(128, 64, 100, Some(64 << 20)), "MemoryMax=1G");
    assert_eq!(fix(1024, 900, 100, None), "MemoryMax=2G");
}

#[test]
fn what_the_kernel_writes_is_read() {
    assert_eq!(
        open_files("Max open files            1024                 524288               files\n"),
        Some(1024)
    );
    assert_eq!(
        open_files("Max open files            unlimited            unlimited            files\n"),
        Some(u64::MAX)
    );
    assert_eq!(open_files(""), None);
    assert_eq!(overflows("TcpExt: A ListenOverflows B\nTcpExt: 1 2 3\n"), 2);
    assert_eq!(overflows(""), 0);
    assert_eq!(
        (mandatory("1\n", ""), mandatory("0", "nginx (enforce)\n"), mandatory("", "unconfined")),
        (Some("SELinux"), Some("AppArmor"), None)
    );
    assert!(
        !is_mapped("         0          0 4294967295\n") && is_mapped("0 100000 65536") && !is_mapped("")
    );
    let table = "  sl  local_address rem_address   st\n   0: 0100007F:0050 0100007F:A0B2 08 00000000:00000000\n   \
                 1: 0100007F:0050 0100007F:A0B4 01 00000000:00000000\n   2: 0100007F:1F9A 0100007F:A0B4 08 0:0\n";
    assert_eq!(close_wait_of(table, &[80]), ["127.0.0.1:80".parse().unwrap()]);
    let own = Process {
        pid: std::process::id(),
        command: "x".into(),
        identity: Identity { name: "x".into(), uid: 1, gids: vec![1] },
    };
    let seen = look(Some(&own), &[80], "");
    assert!(seen.open_files.is_some_and(|(limit, _)| limit > 0) && seen.memory.is_some() && seen.cores > 0);
}
