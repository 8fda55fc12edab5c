//! Who a process is to the kernel's eyes: user, groups; and whose eyes nginx's workers have.

use crate::os::users;
use std::{fs, path::Path};

/// A user with all of its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// For people.
    pub name: String,
    /// The effective one.
    pub uid: u32,
    /// All, the first one included.
    pub gids: Vec<u32>,
}

/// Which users and groups there are.
#[derive(Clone, Debug)]
pub enum Accounts {
    /// Those of this system, wherever it keeps them: files, LDAP, systemd's dynamic users.
    System,
    /// Those of two texts.
    #[cfg(test)]
    Texts(tests::Texts),
}

impl Accounts {
    /// What `initgroups` would give a process that becomes `user`; nginx takes `group` for the first, if it is given.
    #[must_use]
    pub fn identity(&self, user: &str, group: Option<&str>) -> Option<Identity> {
        let (uid, gids) = match self {
            Self::System => users::membership(user, group)?,
            #[cfg(test)]
            Self::Texts(texts) => texts.membership(user, group)?,
        };
        Some(Identity { name: user.to_owned(), uid, gids })
    }

    /// A user's name, or its number.
    #[must_use]
    pub fn user_name(&self, uid: u32) -> String {
        let name = match self {
            Self::System => users::user_name(uid),
            #[cfg(test)]
            Self::Texts(texts) => texts.user_name(uid),
        };
        name.unwrap_or_else(|| uid.to_string())
    }

    /// A group's name, or its number.
    #[must_use]
    pub fn group_name(&self, gid: u32) -> String {
        let name = match self {
            Self::System => users::group_name(gid),
            #[cfg(test)]
            Self::Texts(texts) => texts.group_name(gid),
        };
        name.unwrap_or_else(|| gid.to_string())
    }
}

/// What `/proc/PID/status` says of a process.
#[must_use]
pub fn of_status(status: &str, accounts: &Accounts) -> Option<Identity> {
    let numbers = |name: &str| -> Option<Vec<u32>> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().filter_map(|number| number.parse().ok()).collect())
    };
    let uid = *numbers("Uid:")?.get(1)?;
    let mut gids = vec![*numbers("Gid:")?.get(1)?];
    gids.extend(numbers("Groups:").unwrap_or_default());
    gids.dedup();
    Some(Identity { name: accounts.user_name(uid), uid, gids })
}

/// A process that runs.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What it calls itself: its command line, spaces between.
    pub command: String,
    /// Who it is.
    pub identity: Identity,
}

impl Process {
    /// Whether it is this program.
    #[must_use]
    pub fn is_predictd(&self) -> bool {
        let program = self.command.split(' ').next().unwrap_or_default();
        Path::new(program).file_name().is_some_and(|name| name == "predictd")
    }
}

/// All processes of which the command line passes `wanted`.
#[must_use]
pub fn processes(accounts: &Accounts, wanted: impl Fn(&str) -> bool) -> Vec<Process> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| process(pid, accounts)).filter(|process| wanted(&process.command)).collect()
}

/// What `/proc/PID/attr/current` says: the profile that holds a process in.
#[must_use]
pub fn profile(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/attr/current")).unwrap_or_default()
}

/// One process, if it is there.
#[must_use]
pub fn process(pid: u32, accounts: &Accounts) -> Option<Process> {
    let folder = Path::new("/proc").join(pid.to_string());
    let command = fs::read(folder.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
    let identity = of_status(&fs::read_to_string(folder.join("status")).ok()?, accounts)?;
    Some(Process { pid, command, identity })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Accounts as `/etc/passwd` and `/etc/group` have them.
    #[derive(Clone, Debug)]
    pub struct Texts {
        passwd: &'static str,
        group: &'static str,
    }

    impl Accounts {
        pub(crate) const fn of(passwd: &'static str, group: &'static str) -> Self {
            Self::Texts(Texts { passwd, group })
        }
    }

    impl Texts {
        pub(super) fn membership(&self, user: &str, group: Option<&str>) -> Option<(u32, Vec<u32>)> {
            let number = |fields: &[&str], at: usize| fields.get(at)?.parse::<u32>().ok();
            let known = lines(self.passwd).find(|fields| fields[0] == user)?;
            let first = match group {
                Some(group) => number(&lines(self.group).find(|fields| fields[0] == group)?, 2)?,
                None => number(&known, 3)?,
            };
            let has = |fields: &Vec<&str>| {
                fields.get(3).is_some_and(|members| members.split(',').any(|name| name == user))
            };
            let others = lines(self.group).filter(has).filter_map(|fields| number(&fields, 2));
            Some((number(&known, 2)?, [first].into_iter().chain(others).collect()))
        }

        pub(super) fn user_name(&self, uid: u32) -> Option<String> {
            name_of(self.passwd, uid)
        }

        pub(super) fn group_name(&self, gid: u32) -> Option<String> {
            name_of(self.group, gid)
        }
    }

    fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
        text.lines().map(|line| line.split(':').collect())
    }

    fn name_of(text: &str, id: u32) -> Option<String> {
        let id = id.to_string();
        lines(text).find(|fields| fields.get(2) == Some(&&*id)).map(|fields| fields[0].to_owned())
    }

    #[test]
    fn a_user_has_the_groups_that_name_it() {
        let accounts = Accounts::of(
            "root:x:0:0::/:/bin/sh\nwww-data:x:33:33:www:/var/www:/x\n",
            "root:x:0:\nwww-data:x:33:\npredictd:x:990:alice,www-data\nadm:x:4:alice\n",
        );
        let www = accounts.identity("www-data", None).unwrap();
        assert_eq!((www.uid, &www.gids[..]), (33, &[33, 990][..]));
        assert_eq!(accounts.identity("www-data", Some("adm")).unwrap().gids, [4, 990]);
        assert_eq!(accounts.identity("nobody", None), None);
        assert_eq!((accounts.user_name(33), accounts.group_name(7)), ("www-data".into(), "7".into()));
        let system = Accounts::System;
        let root = system.identity("root", None).unwrap();
        assert_eq!(Some((root.uid, root.gids)), users::membership("root", None));
        assert_eq!(
            (system.user_name(0), system.group_name(4_000_000_000)),
            ("root".into(), "4000000000".into())
        );
    }

    #[test]
    fn a_process_says_who_it_is() {
        let status = "Name:\tnginx\nUid:\t0\t33\t33\t33\nGid:\t33\t33\t33\t33\nGroups:\t33 990 \n";
        let identity = of_status(status, &Accounts::System).unwrap();
        assert_eq!((identity.uid, &identity.gids[..]), (33, &[33, 990][..]));
        assert!(of_status("Uid:\tx", &Accounts::System).is_none());
        let own = process(std::process::id(), &Accounts::System).unwrap();
        assert!(!own.command.is_empty() && !own.is_predictd());
        for (command, is) in [
            ("/usr/bin/predictd serve --config /etc/predictd/predictd.toml", true),
            ("predictd", true),
            ("uwsgi --ini predictd", false),
            ("/opt/predictd/venv/bin/python x", false),
            ("", false),
        ] {
            assert_eq!(Process { command: command.into(), ..own.clone() }.is_predictd(), is, "{command}");
        }
    }
}
