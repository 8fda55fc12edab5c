//! Who a process is to the kernel's eyes: user, groups; and whose eyes nginx's workers have.

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

/// The accounts of the system, as two files have them.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Those of `/etc/passwd` and `/etc/group`; an account of a directory service is not among them.
    #[must_use]
    pub fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self { passwd: read("/etc/passwd"), group: read("/etc/group") }
    }

    #[cfg(test)]
    pub(crate) fn of(passwd: &str, group: &str) -> Self {
        Self { passwd: passwd.into(), group: group.into() }
    }

    /// What `initgroups` would give a process that becomes `user`; nginx takes `group` for the first, if it is given.
    #[must_use]
    pub fn identity(&self, user: &str, group: Option<&str>) -> Option<Identity> {
        let mut fields = lines(&self.passwd).find(|fields| fields[0] == user)?.into_iter().skip(2);
        let (uid, own): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let first = match group {
            Some(group) => self.group_id(group)?,
            None => own,
        };
        let mut gids = vec![first];
        for fields in lines(&self.group) {
            let member = fields.get(3).is_some_and(|members| members.split(',').any(|name| name == user));
            gids.extend(fields.get(2).filter(|_| member).and_then(|gid| gid.parse::<u32>().ok()));
        }
        gids.dedup();
        Some(Identity { name: user.to_owned(), uid, gids })
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        lines(&self.group).find(|fields| fields[0] == name)?.get(2)?.parse().ok()
    }

    /// A user's name, or its number.
    #[must_use]
    pub fn user_name(&self, uid: u32) -> String {
        name_of(&self.passwd, uid)
    }

    /// A group's name, or its number.
    #[must_use]
    pub fn group_name(&self, gid: u32) -> String {
        name_of(&self.group, gid)
    }
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

fn name_of(text: &str, id: u32) -> String {
    let id = id.to_string();
    let found = lines(text).find(|fields| fields.get(2) == Some(&&*id)).map(|fields| fields[0].to_owned());
    found.unwrap_or(id)
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
mod tests {
    use super::*;

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
    }

    #[test]
    fn a_process_says_who_it_is() {
        let status = "Name:\tnginx\nUid:\t0\t33\t33\t33\nGid:\t33\t33\t33\t33\nGroups:\t33 990 \n";
        let identity = of_status(status, &Accounts::default()).unwrap();
        assert_eq!((identity.uid, &identity.gids[..]), (33, &[33, 990][..]));
        assert!(of_status("Uid:\tx", &Accounts::default()).is_none());
        let own = process(std::process::id(), &Accounts::read()).unwrap();
        assert!(!own.command.is_empty());
    }
}
