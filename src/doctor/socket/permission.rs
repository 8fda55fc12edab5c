//! Whether nginx's user gets to the socket: by the bits on the way, and past predictd's own list.

use super::{SOCKET, Seen, Visitors};
use crate::{
    doctor::{
        Finding,
        access::{self, Step},
        asked::Asked,
        identity::{Accounts, Identity},
    },
    os::{account::Account, socket::Address},
};

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
                .fix(opening(&stops, who, accounts)),
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

/// Whether predictd itself keeps nginx out: root and its own user always may.
pub(super) fn turned_away(
    seen: &Seen,
    visitors: &Visitors,
    asked: &Asked,
    accounts: &Accounts,
) -> Option<Finding> {
    let who = visitors.configured.as_ref().or(visitors.running.as_ref())?;
    let own = seen.holder.as_ref().map(|process| process.identity.uid);
    let is_who = |account: &Account| match account {
        Account::Id(uid) => *uid == who.uid,
        Account::Name(name) => accounts.identity(name, None).is_some_and(|user| user.uid == who.uid),
    };
    let may = asked.allow_users.is_empty()
        || !matches!(seen.address, Address::Unix(_))
        || [Some(0), own].contains(&Some(who.uid))
        || asked.allow_users.iter().any(is_who);
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
fn opening(stops: &[&Step], who: &Identity, accounts: &Accounts) -> String {
    let mut commands = Vec::new();
    for step in stops {
        let path = step.path.display();
        // Root's own group would open much more.
        let command = if step.mode >> 3 & step.needed() == step.needed() && step.gid != 0 {
            format!("usermod -aG {} {} && nginx -s reload", accounts.group_name(step.gid), who.name)
        } else if step.is_folder {
            format!("chmod o+x {path}")
        } else {
            let group = who.gids.first().map(|gid| accounts.group_name(*gid)).unwrap_or_default();
            format!(
                "chgrp {group} {path} && chmod 660 {path}   # to last: [socket] group = \"{group}\", mode = \"0660\""
            )
        };
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    commands.join(" && ")
}
