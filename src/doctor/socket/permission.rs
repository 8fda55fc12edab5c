//! Whether nginx's user gets to the socket: by the bits on the way, and past predictd's own list.

use super::{ELSEWHERE, SOCKET, Seen, Visitors};
use crate::{
    doctor::{
        Finding,
        access::{self, Class, Step},
        asked::Asked,
        identity::{Accounts, Identity, Process},
    },
    os::{account::Account, socket::Address},
};
use std::path::Path;

/// Whether nginx's user gets there.
#[must_use]
pub fn permission(seen: &Seen, visitors: &Visitors, accounts: &Accounts) -> Option<Finding> {
    let who = visitors.configured.as_ref().or(visitors.running.as_ref())?;
    let stops: Vec<&Step> = access::stops(&seen.way, who).collect();
    if let Some(first) = stops.first() {
        let places: Vec<String> = stops
            .iter()
            .map(|step| format!("{} ({})", step.path.display(), step.describe(accounts)))
            .collect();
        let what = if first.is_folder { "enter" } else { "write to" };
        return Some(
            SOCKET
                .error("permission", format!("nginx, as {}, may not connect to {}", who.name, seen.address))
                .at(places.join(", "))
                .why(format!(
                    "The user {} may not {what} it: each request becomes 502, and nginx's error log says \
                     (13: Permission denied).",
                    who.name
                ))
                .fix(opening(seen, who, accounts)),
        );
    }
    let running = visitors.running.as_ref()?;
    let step = access::stops(&seen.way, running).next()?;
    let groups: Vec<String> = who
        .gids
        .iter()
        .filter(|gid| !running.gids.contains(gid))
        .map(|gid| accounts.group_name(*gid))
        .collect();
    let what = format!("nginx's workers do not have the group {} yet", groups.join(", "));
    let (place, user) = (step.path.display(), &running.name);
    Some(
        SOCKET
            .error("permission-stale", what)
            .at(place)
            .why(format!(
                "{user} was put into it after they had been started, and is kept out until they are new."
            ))
            .fix("nginx -s reload"),
    )
}

/// Whether predictd, which `holder` may be, takes a user's connections: root's and its own user's always.
pub(super) fn admits(uid: u32, holder: Option<&Process>, asked: &Asked, accounts: &Accounts) -> bool {
    let is_it = |account: &Account| match account {
        Account::Id(id) => *id == uid,
        Account::Name(name) => accounts.identity(name, None).is_some_and(|user| user.uid == uid),
    };
    asked.allow_users.is_empty()
        || uid == 0
        || holder.is_some_and(|process| process.identity.uid == uid)
        || asked.allow_users.iter().any(is_it)
}

/// Whether predictd itself keeps nginx out.
pub(super) fn turned_away(
    seen: &Seen,
    visitors: &Visitors,
    asked: &Asked,
    accounts: &Accounts,
) -> Option<Finding> {
    let who = visitors.configured.as_ref().or(visitors.running.as_ref())?;
    let may =
        !matches!(seen.address, Address::Unix(_)) || admits(who.uid, seen.holder.as_ref(), asked, accounts);
    let mut names: Vec<String> = asked.allow_users.iter().map(|user| format!("\"{user}\"")).collect();
    names.push(format!("\"{}\"", who.name));
    (!may).then(|| {
        SOCKET
            .error("allow-users", format!("predictd turns away nginx's user {}", who.name))
            .at("socket.allow_users")
            .why("It is not in the list: its connections are closed, and each request becomes 502.")
            .fix(format!("allow_users = [{}]   # in [socket]", names.join(", ")))
    })
}

/// How to let `who` through: commands that can be run together, and what only a setting does.
fn opening(seen: &Seen, who: &Identity, accounts: &Accounts) -> String {
    let way = &seen.way;
    let homes = |step: &&Step| step.class(who) != Class::Owner && is_home(&step.path);
    if let Some(home) = access::stops(way, who).find(homes) {
        return format!(
            "listen = [\"{ELSEWHERE}\"]   # {} is not for others to enter; nginx has to pass there too",
            home.path.display()
        );
    }
    let mut commands = Vec::new();
    // Whoever joins a group is judged by its bits everywhere.
    let mut joined = who.clone();
    for step in access::stops(way, who).filter(|step| group_would_do(step, who)) {
        if !joined.gids.contains(&step.gid) {
            joined.gids.push(step.gid);
            commands.push(format!("usermod -aG {} {}", accounts.group_name(step.gid), who.name));
        }
    }
    if !commands.is_empty() {
        commands.push("nginx -s reload".to_owned());
    }
    commands
        .extend(access::stops(way, &joined).map(|step| granting(step, seen.inherited, &joined, accounts)));
    commands.join(" && ")
}

/// Whether the group's members may what `who` may not. Root's own group would open much more.
fn group_would_do(step: &Step, who: &Identity) -> bool {
    let bits = step.mode >> 3 & step.needed();
    step.class(who) == Class::Other && step.acl.is_empty() && bits == step.needed() && step.gid != 0
}

/// A folder of a user's own, which stays closed to others: what is in it is not for nginx.
fn is_home(path: &Path) -> bool {
    let above = path.parent();
    path == Path::new("/root") || ["/home", "/run/user"].iter().any(|homes| above == Some(Path::new(homes)))
}

/// What gives `who` the right that it has not, by the rule that refuses it.
fn granting(step: &Step, inherited: bool, who: &Identity, accounts: &Accounts) -> String {
    let (path, name) = (step.path.display(), &who.name);
    let letter = if step.is_folder { 'x' } else { 'w' };
    let group = who.gids.first().map(|gid| accounts.group_name(*gid)).unwrap_or_default();
    // The file of a socket is made anew at each start; it comes last on the way, and so does the remark.
    let (to_last, to_last_with_group) = if step.is_folder {
        (String::new(), String::new())
    } else if inherited {
        (
            "   # to last: SocketMode=0660 in its .socket unit".to_owned(),
            format!("   # to last: SocketGroup={group}, SocketMode=0660 in its .socket unit"),
        )
    } else {
        (
            "   # to last: [socket] mode = \"0660\"".to_owned(),
            format!("   # to last: [socket] group = \"{group}\", mode = \"0660\""),
        )
    };
    match step.class(who) {
        Class::Owner => format!("chmod u+{letter} {path}{to_last}"),
        Class::Group => format!("chmod g+{letter} {path}{to_last}"),
        Class::Listed | Class::Other if !step.acl.is_empty() => {
            let entry = format!("u:{name}:{}", if step.is_folder { "x" } else { "rw" });
            let folder = step.path.parent().filter(|_| !step.is_folder);
            let next_ones = folder.map(|folder| format!(" && setfacl -d -m {entry} {}", folder.display()));
            format!("setfacl -m {entry} {path}{}", next_ones.unwrap_or_default())
        }
        _ if step.is_folder => format!("chmod o+x {path}"),
        _ => format!("chgrp {group} {path} && chmod 660 {path}{to_last_with_group}"),
    }
}
