//! What number an account has, as the system's own databases tell: /etc/passwd, LDAP, systemd's dynamic users.

use super::account::Account;
use nix::unistd::{Gid, Group, User, getgrouplist};
use std::{ffi::CString, io};

/// Why an account has no number.
#[derive(Debug, thiserror::Error)]
pub enum UnknownAccount {
    /// No such name.
    #[error("there is no {0} '{1}' on this system")]
    Unknown(&'static str, String),
    /// The database cannot be asked.
    #[error("the {0} '{1}' cannot be looked up: {2}")]
    Lookup(&'static str, String, io::Error),
}

/// The number of a user.
///
/// # Errors
/// Where there is none.
pub fn user_id(user: &Account) -> Result<u32, UnknownAccount> {
    id("user", user, |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw())))
}

/// The number of a group.
///
/// # Errors
/// Where there is none.
pub fn group_id(group: &Account) -> Result<u32, UnknownAccount> {
    id("group", group, |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw())))
}

fn id(
    kind: &'static str,
    account: &Account,
    find: impl Fn(&str) -> nix::Result<Option<u32>>,
) -> Result<u32, UnknownAccount> {
    let name = match account {
        Account::Id(id) => return Ok(*id),
        Account::Name(name) => name,
    };
    match find(name) {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(UnknownAccount::Unknown(kind, name.clone())),
        Err(errno) => Err(UnknownAccount::Lookup(kind, name.clone(), errno.into())),
    }
}

/// The number of a user and those of all its groups, as a process has them that becomes it: `initgroups(3)`. The first is
/// `group` if that is given, else the user's own.
#[must_use]
pub fn membership(user: &str, group: Option<&str>) -> Option<(u32, Vec<u32>)> {
    let known = User::from_name(user).ok()??;
    let first = match group {
        Some(group) => Group::from_name(group).ok()??.gid,
        None => known.gid,
    };
    let all = getgrouplist(&CString::new(user).ok()?, first).ok()?;
    let others = all.into_iter().filter(|gid| *gid != first);
    Some((known.uid.as_raw(), [first].into_iter().chain(others).map(Gid::as_raw).collect()))
}

/// The name of a user, if it has one.
#[must_use]
pub fn user_name(user: u32) -> Option<String> {
    User::from_uid(user.into()).ok().flatten().map(|known| known.name)
}

/// The name of a group, if it has one.
#[must_use]
pub fn group_name(group: u32) -> Option<String> {
    Group::from_gid(group.into()).ok().flatten().map(|known| known.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_that_the_system_gives_them() {
        let name = |name: &str| Account::Name(name.into());
        assert_eq!(user_id(&name("root")).unwrap(), 0);
        assert_eq!(group_id(&name("root")).unwrap(), 0);
        assert_eq!(user_id(&Account::Id(4711)).unwrap(), 4711);
        let unknown = user_id(&name("no-such-user")).unwrap_err().to_string();
        assert_eq!(unknown, "there is no user 'no-such-user' on this system");
        assert!(group_id(&name("no-such-group")).is_err());
        assert_eq!((user_name(0), group_name(0)), (Some("root".into()), Some("root".into())));
        assert_eq!((user_name(4_000_000_000), group_name(4_000_000_000)), (None, None));
    }
    #[test]
    fn a_user_has_the_groups_that_a_process_of_it_would_have() {
        let (uid, gids) = membership("root", None).unwrap();
        assert_eq!((uid, gids[0]), (0, 0));
        let output = std::process::Command::new("id").args(["-G", "root"]).output().unwrap();
        let mut real: Vec<u32> = String::from_utf8(output.stdout)
            .unwrap()
            .split_whitespace()
            .map(|gid| gid.parse().unwrap())
            .collect();
        let mut found = gids.clone();
        real.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, real);
        let daemon = group_id(&Account::Name("daemon".into())).unwrap();
        let (_, gids) = membership("root", Some("daemon")).unwrap();
        assert_eq!(gids[0], daemon);
        assert_eq!(membership("no-such-user", None), None);
        assert_eq!(membership("root", Some("no-such-group")), None);
        assert_eq!(membership("a\0b", None), None);
    }
}
