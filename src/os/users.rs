//! What number an account has, as the system's own databases tell: /etc/passwd, LDAP, systemd's dynamic users.

use super::account::Account;
use nix::unistd::{Group, User};
use std::io;

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

/// A user for a log line: its name if it has one, and its number.
#[must_use]
pub fn describe(user: u32) -> String {
    match User::from_uid(user.into()) {
        Ok(Some(known)) => format!("{} ({user})", known.name),
        Ok(None) | Err(_) => user.to_string(),
    }
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
        assert_eq!(describe(0), "root (0)");
        assert_eq!(describe(4_000_000_000), "4000000000");
    }
}
