//! A table of what is seen of a socket, and what is said of it; and real sockets in each state.

use super::*;
use crate::doctor::access::{AclEntry, AclTag};
use proptest::prelude::*;
use std::os::unix::{fs::PermissionsExt, net::UnixListener};

const PATH: &str = "/run/predictd/predictd.sock";

fn step(path: &str, mode: u32, uid: u32, gid: u32) -> Step {
    Step {
        path: path.into(),
        mode,
        uid,
        gid,
        is_folder: !path.ends_with(".sock"),
        is_socket: path.ends_with(".sock"),
        acl: Vec::new(),
    }
}

fn healthy() -> Seen {
    Seen {
        address: format!("unix:{PATH}").parse().unwrap(),
        inherited: false,
        way: vec![
            step("/", 0o755, 0, 0),
            step("/run/predictd", 0o755, 990, 990),
            step(PATH, 0o660, 990, 990),
        ],
        missing: None,
        hidden: None,
        listening: Some(Listening { at: At::Unix(PATH.into()), inode: 1, waiting: 0, backlog: 4096 }),
        holder: None,
        answer: Answer::Predictd,
    }
}

fn nginx(gids: &[u32]) -> Identity {
    Identity { name: "www-data".into(), uid: 33, gids: gids.to_vec() }
}

fn visitors(configured: &[u32], running: Option<&[u32]>) -> Visitors {
    Visitors { configured: Some(nginx(configured)), running: running.map(nginx) }
}

fn found(seen: &Seen, visitors: &Visitors, somaxconn: u64) -> Vec<Finding> {
    let accounts = Accounts::of(
        "predictd:x:990:990::/:/x\nwww-data:x:33:33::/:/x\n",
        "predictd:x:990:\nwww-data:x:33:\n",
    );
    findings(seen, visitors, &Asked::example(), Some(somaxconn), &accounts)
}

#[track_caller]
fn check(seen: &Seen, visitors: &Visitors, name: &str, fix: &str) {
    let found = found(seen, visitors, 4096);
    let names: Vec<&str> = found.iter().map(|one| one.name).collect();
    assert_eq!(names, [name], "{seen:?}");
    assert!(found[0].fix.starts_with(fix), "{}", found[0].fix);
}

#[test]
fn a_healthy_socket_has_nothing() {
    assert_eq!(found(&healthy(), &visitors(&[33, 990], Some(&[33, 990])), 4096), []);
    assert_eq!(found(&healthy(), &Visitors::default(), 4096), []);
}

#[test]
fn what_keeps_nginx_out_is_named_with_the_way_to_let_it_in() {
    let of = |folder: u32, socket: u32, group: u32| Seen {
        way: vec![step("/run/predictd", folder, 990, group), step(PATH, socket, 990, group)],
        ..healthy()
    };
    let stranger = visitors(&[33], None);
    check(
        &of(0o755, 0o660, 990),
        &stranger,
        "permission",
        "usermod -aG predictd www-data && nginx -s reload",
    );
    check(&of(0o700, 0o666, 990), &stranger, "permission", "chmod o+x /run/predictd");
    check(&of(0o750, 0o666, 990), &stranger, "permission", "usermod -aG predictd www-data");
    let both = "chmod o+x /run/predictd && chgrp www-data /run/predictd/predictd.sock && chmod 660";
    check(&of(0o700, 0o600, 990), &stranger, "permission", both);
    // Nobody is put into root's group.
    check(&of(0o750, 0o666, 0), &stranger, "permission", "chmod o+x /run/predictd");
    check(
        &of(0o755, 0o660, 0),
        &stranger,
        "permission",
        "chgrp www-data /run/predictd/predictd.sock && chmod 660",
    );
    check(
        &of(0o755, 0o600, 990),
        &stranger,
        "permission",
        "chgrp www-data /run/predictd/predictd.sock && chmod 660",
    );
    check(&of(0o755, 0o660, 990), &visitors(&[33, 990], Some(&[33])), "permission-stale", "nginx -s reload");
    assert_eq!(found(&of(0o755, 0o666, 990), &stranger, 4096), []);
}

#[test]
fn the_right_is_given_by_the_rule_that_refuses_it() {
    let www = visitors(&[33], None);
    let of = |way: Vec<Step>| Seen { way, ..healthy() };
    let folder =
        |mode, uid, gid| of(vec![step("/run/predictd", mode, uid, gid), step(PATH, 0o666, 990, 990)]);
    // o+x would change nothing for the owner and for members.
    check(&folder(0o077, 33, 990), &www, "permission", "chmod u+x /run/predictd");
    check(&folder(0o707, 990, 33), &www, "permission", "chmod g+x /run/predictd");
    let socket = |mode, uid, gid| of(vec![step(PATH, mode, uid, gid)]);
    check(&socket(0o066, 33, 990), &www, "permission", "chmod u+w /run/predictd/predictd.sock   # to last: ");
    check(&socket(0o606, 990, 33), &www, "permission", "chmod g+w /run/predictd/predictd.sock   # to last: ");
    // A member of the socket's group is one in its folder too, and may lose there what others have.
    let lost = of(vec![step("/run/predictd", 0o705, 990, 990), step(PATH, 0o660, 990, 990)]);
    let both = "usermod -aG predictd www-data && nginx -s reload && chmod g+x /run/predictd";
    check(&lost, &www, "permission", both);
    let mut listed = folder(0o750, 990, 990);
    listed.way[0].acl = vec![
        AclEntry { tag: AclTag::Owner, permissions: 7 },
        AclEntry { tag: AclTag::Group, permissions: 5 },
        AclEntry { tag: AclTag::Mask, permissions: 5 },
        AclEntry { tag: AclTag::Other, permissions: 0 },
    ];
    check(&listed, &www, "permission", "setfacl -m u:www-data:x /run/predictd");
    listed.way[0].acl.push(AclEntry { tag: AclTag::User(33), permissions: 4 });
    check(&listed, &www, "permission", "setfacl -m u:www-data:x /run/predictd");
    for home in ["/root", "/home/alice", "/run/user/1000"] {
        let inside = of(vec![step(home, 0o700, 990, 990), step(&format!("{home}/p.sock"), 0o666, 990, 990)]);
        check(&inside, &www, "permission", "listen = [\"unix:/run/predictd/predictd.sock\"]   # ");
    }
    let deeper =
        of(vec![step("/home/alice/app", 0o700, 990, 990), step("/home/alice/app/p.sock", 0o666, 990, 990)]);
    check(&deeper, &www, "permission", "chmod o+x /home/alice/app");
}

/// Does to steps and to a user what commands would do.
fn follow(fix: &str, way: &mut [Step], who: &mut Identity) {
    let group = |name: &str| if name == "www-data" { 33 } else { name.parse().unwrap_or(990) };
    for command in fix.split("   # ").next().unwrap_or_default().split(" && ") {
        let words: Vec<&str> = command.split(' ').collect();
        let step = way.iter_mut().find(|step| words.last() == Some(&step.path.to_str().unwrap_or_default()));
        match (&words[..], step) {
            (["usermod", "-aG", name, _], _) => who.gids.push(group(name)),
            (["nginx", ..], _) => {}
            (["chgrp", name, _], Some(step)) => step.gid = group(name),
            (["chmod", change, _], Some(step)) => match change.split_once('+') {
                Some((class, right)) => {
                    let right = if right == "x" { 1 } else { 2 };
                    let place = ["o", "g", "u"].iter().position(|one| *one == class).unwrap();
                    step.mode |= right << (place * 3);
                }
                None => step.mode = u32::from_str_radix(change, 8).unwrap(),
            },
            (other, _) => panic!("{other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn the_way_is_open_once_the_advice_is_followed(
        modes in prop::array::uniform3(0u32..0o1000),
        owners in prop::array::uniform3(prop::sample::select(vec![0u32, 33, 990])),
        groups in prop::array::uniform3(prop::sample::select(vec![0u32, 33, 990, 7])),
    ) {
        let paths = ["/run", "/run/predictd", PATH];
        let way: Vec<Step> = (0..3).map(|at| step(paths[at], modes[at], owners[at], groups[at])).collect();
        let mut seen = Seen { way, ..healthy() };
        let mut www = visitors(&[33], None);
        if let Some(finding) = found(&seen, &www, 4096).iter().find(|one| one.name == "permission") {
            follow(&finding.fix, &mut seen.way, www.configured.as_mut().unwrap());
            prop_assert_eq!(found(&seen, &www, 4096), []);
        }
    }
}

#[test]
fn nobody_and_somebody_else_are_told_apart() {
    let fine = visitors(&[990], None);
    let dead = Seen { listening: None, answer: Answer::Refused, ..healthy() };
    check(&dead, &fine, "stale", "systemctl start predictd");
    let gone = Seen {
        missing: Some(PATH.into()),
        listening: None,
        answer: Answer::Absent,
        way: vec![step("/run/predictd", 0o755, 990, 990)],
        ..healthy()
    };
    check(&gone, &fine, "absent", "systemctl start predictd");
    let no_folder = Seen { missing: Some("/run/predictd".into()), way: Vec::new(), ..gone };
    check(&no_folder, &fine, "absent", "install -d");
    let other = Seen { answer: Answer::Other, ..healthy() };
    check(&other, &fine, "clash", "listen = ");
    let process = Process { pid: 7, command: "uwsgi --ini x".into(), identity: nginx(&[33]) };
    let fix = "listen = [\"unix:/run/predictd/predictd-2.sock\"]   # nginx has to pass there too; or, if nobody needs the other: kill 7";
    check(&Seen { holder: Some(process.clone()), ..other.clone() }, &fine, "clash", fix);
    let elsewhere = Seen { address: "127.0.0.1:8090".parse().unwrap(), way: Vec::new(), ..other.clone() };
    check(&elsewhere, &fine, "clash", "listen = [\"unix:/run/predictd/predictd.sock\"]");
    // Nobody is told to end predictd itself.
    let own = Process { command: "/usr/bin/predictd serve".into(), ..process.clone() };
    for answer in [Answer::Other, Answer::Closed] {
        let seen = Seen { answer, holder: Some(own.clone()), ..healthy() };
        check(&seen, &fine, "other-settings", "systemctl restart predictd");
    }
    let closed = Seen { answer: Answer::Closed, ..healthy() };
    check(&closed, &fine, "closed", "sudo predictd doctor");
    check(&Seen { holder: Some(process), ..closed }, &fine, "clash", "listen = ");
    assert_eq!(found(&Seen { answer: Answer::TurnedAway, ..healthy() }, &fine, 4096), []);
    check(&Seen { answer: Answer::Silent, ..healthy() }, &fine, "silent", "systemctl restart predictd");
    let port = Seen {
        address: "127.0.0.1:8090".parse().unwrap(),
        way: Vec::new(),
        listening: None,
        answer: Answer::Refused,
        ..healthy()
    };
    check(&port, &fine, "absent", "systemctl start predictd");
    let mut file = healthy();
    file.way[2].is_socket = false;
    file.answer = Answer::Refused;
    check(&file, &fine, "not-a-socket", "rm -i");
    let abstract_socket = Seen { address: "unix:@x".parse().unwrap(), way: Vec::new(), ..healthy() };
    check(&abstract_socket, &fine, "abstract", "listen = ");
    let long = Seen { address: format!("unix:/{}", "x".repeat(107)).parse().unwrap(), ..healthy() };
    check(&long, &fine, "path-too-long", "listen = ");
}

#[test]
fn a_queue_that_fills_and_a_backlog_that_is_cut_are_found() {
    let fine = visitors(&[990], None);
    let queue = |waiting, backlog, answer| Seen {
        listening: Some(Listening { at: At::Unix(PATH.into()), inode: 1, waiting, backlog }),
        answer,
        ..healthy()
    };
    check(&queue(17, 16, Answer::Full), &fine, "queue-full", "predictd status");
    check(&queue(3, 4096, Answer::Silent), &fine, "silent", "systemctl restart");
    let names = |seen: &Seen, somaxconn| -> Vec<&str> {
        found(seen, &fine, somaxconn).iter().map(|one| one.name).collect()
    };
    assert_eq!(names(&queue(3000, 4096, Answer::Predictd), 4096), ["queue-long"]);
    assert_eq!(names(&queue(3, 4096, Answer::Predictd), 4096), [""; 0]);
    assert_eq!(names(&queue(0, 128, Answer::Predictd), 128), ["somaxconn"]);
    assert_eq!(names(&queue(0, 128, Answer::Predictd), 4096), ["backlog"]);
    // Of a socket of systemd, its unit decides.
    let units = Seen { inherited: true, ..queue(0, 128, Answer::Predictd) };
    assert_eq!(names(&units, 128), ["backlog"]);
    check(&units, &fine, "backlog", "Backlog=4096   # in [Socket] of its .socket unit");
    let closed = Seen { way: vec![step(PATH, 0o600, 0, 0)], inherited: true, ..healthy() };
    let fix = "chgrp www-data /run/predictd/predictd.sock && chmod 660 /run/predictd/predictd.sock   # to last: \
               SocketGroup=www-data, SocketMode=0660 in its .socket unit";
    check(&closed, &visitors(&[33], None), "permission", fix);
}

#[test]
fn real_sockets_are_seen_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = folder.path().join("s.sock");
    let address = Address::Unix(path.clone());
    let accounts = Accounts::System;
    let seen = || look(&address, &Asked::example(), &accounts);
    assert_eq!((seen().answer, seen().missing.is_some()), (Answer::Absent, true));
    fs::write(&path, "").unwrap();
    assert!(nobody(&seen()).is_some_and(|finding| finding.name == "not-a-socket"));
    fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let one = seen();
    assert_eq!(one.answer, Answer::Silent);
    assert_eq!(one.holder.map(|process| process.pid), Some(std::process::id()));
    assert_eq!(one.listening.map(|socket| socket.waiting), Some(0), "looked at before it knocked");
    let nobody_user = Visitors { configured: accounts.identity("nobody", None), running: None };
    let finding = permission(&seen(), &nobody_user, &accounts).unwrap();
    assert!(finding.place.contains("drwx------"), "{finding:?}");
    drop(listener);
    assert_eq!(seen().answer, Answer::Refused);
    assert!(nobody(&seen()).is_some_and(|finding| finding.name == "stale"));
}

#[test]
fn systemd_holds_what_it_hands_over_and_does_not_answer() {
    for (holders, answers) in [(&[1, 7][..], Some(7)), (&[7, 1], Some(7)), (&[1], Some(1)), (&[], None)] {
        assert_eq!(answering(holders.iter().copied()), answers, "{holders:?}");
    }
}

#[test]
fn a_connection_that_predictd_closes_to_us_tells_nothing_of_others() {
    let accounts = Accounts::of("alice:x:1000:1000::/:/x\n", "");
    let answer = |answer: Answer, address: &str, allowed: &[&str], us: u32, holder: Option<u32>| {
        let allow_users = allowed.iter().map(|user| user.parse().unwrap()).collect();
        let asked = Asked { allow_users, ..Asked::example() };
        let holder = holder.map(|uid| Process {
            pid: 7,
            command: "predictd".into(),
            identity: Identity { uid, ..nginx(&[1]) },
        });
        understood(answer, &address.parse().unwrap(), us, holder.as_ref(), &asked, &accounts)
    };
    let socket = "unix:/s";
    assert_eq!(answer(Answer::Closed, socket, &["www-data"], 1000, None), Answer::TurnedAway);
    assert_eq!(answer(Answer::Closed, "unix:@s", &["33"], 1000, Some(990)), Answer::TurnedAway);
    for (address, allowed, us, holder) in [
        (socket, &[][..], 1000, None),
        (socket, &["alice"], 1000, None),
        (socket, &["www-data"], 0, None),
        (socket, &["www-data"], 1000, Some(1000)),
        ("127.0.0.1:8090", &["www-data"], 1000, None),
    ] {
        assert_eq!(answer(Answer::Closed, address, allowed, us, holder), Answer::Closed, "{address} {us}");
    }
    assert_eq!(answer(Answer::Other, socket, &["www-data"], 1000, None), Answer::Other);
}

#[test]
fn who_is_not_in_the_list_of_users_is_turned_away() {
    let accounts = Accounts::of("www-data:x:33:33::/:/x\n", "");
    let names = |allowed: &[&str], holder: u32| -> Vec<&str> {
        let allow_users = allowed.iter().map(|user| user.parse().unwrap()).collect();
        let asked = Asked { allow_users, ..Asked::example() };
        let identity = Identity { uid: holder, ..nginx(&[1]) };
        let seen =
            Seen { holder: Some(Process { pid: 7, command: "predictd".into(), identity }), ..healthy() };
        findings(&seen, &visitors(&[990], None), &asked, Some(4096), &accounts)
            .iter()
            .map(|one| one.name)
            .collect()
    };
    assert_eq!(names(&[], 990), [""; 0]);
    assert_eq!(names(&["www-data"], 990), [""; 0]);
    assert_eq!(names(&["7", "33"], 990), [""; 0]);
    assert_eq!(names(&["alice"], 990), ["allow-users"]);
    assert_eq!(names(&["alice"], 33), [""; 0]);
}
