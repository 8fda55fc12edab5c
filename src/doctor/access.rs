//! Whether a user gets to a file: each folder on the way and the file itself, by the rules of the kernel.
//!
//! path_resolution(7), acl(5): owner, group or others, the first that fits decides, and root passes all.

use super::identity::{Accounts, Identity};
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// To enter a folder.
pub const ENTER: u32 = 1;
/// To connect to a socket.
pub const WRITE: u32 = 2;

/// A folder or file on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it is, symbolic links resolved.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it is a socket.
    pub is_socket: bool,
    /// Its access control list, if it has more than the bits say.
    pub acl: Vec<AclEntry>,
}

/// An entry of an access control list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// Whom it is for.
    pub tag: AclTag,
    /// Bits as in a mode.
    pub permissions: u32,
}

/// Whom an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "acl(5) has them")]
pub enum AclTag {
    Owner,
    User(u32),
    Group,
    NamedGroup(u32),
    Mask,
    Other,
}

/// By which rule of a file a user is judged, the first that fits: acl(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// By none.
    Root,
    /// The first three bits, with a list and without.
    Owner,
    /// Entries of the list, for the user or for its groups.
    Listed,
    /// The middle three, where there is no list.
    Group,
    /// The last three.
    Other,
}

impl Step {
    /// Looks at a path.
    ///
    /// # Errors
    /// Where there is nothing, or we may not look.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            is_folder: metadata.is_dir(),
            is_socket: metadata.file_type().is_socket(),
            acl: acl(path),
        })
    }

    /// Whether `who` has all of `wanted`.
    #[must_use]
    pub fn grants(&self, who: &Identity, wanted: u32) -> bool {
        let has = |bits: u32| bits & wanted == wanted;
        let mask =
            self.acl.iter().find(|entry| entry.tag == AclTag::Mask).map_or(7, |entry| entry.permissions);
        match self.class(who) {
            Class::Root => true,
            Class::Owner => has(self.mode >> 6),
            Class::Group => has(self.mode >> 3),
            Class::Other => has(self.mode),
            Class::Listed => self.listed(who).any(|permissions| has(permissions & mask)),
        }
    }

    /// By which of its rules `who` is judged.
    #[must_use]
    pub fn class(&self, who: &Identity) -> Class {
        match () {
            () if who.uid == 0 => Class::Root,
            () if who.uid == self.uid => Class::Owner,
            () if self.listed(who).next().is_some() => Class::Listed,
            () if self.acl.is_empty() && who.gids.contains(&self.gid) => Class::Group,
            () => Class::Other,
        }
    }

    /// What the list's entries for `who` allow before the mask: that of the user alone, or those of all its groups.
    fn listed(&self, who: &Identity) -> impl Iterator<Item = u32> {
        let own = self.acl.iter().find(|entry| entry.tag == AclTag::User(who.uid));
        let fits = move |entry: &&AclEntry| match entry.tag {
            AclTag::Group => who.gids.contains(&self.gid),
            AclTag::NamedGroup(gid) => who.gids.contains(&gid),
            _ => false,
        };
        let groups = self.acl.iter().filter(move |entry| own.is_none() && fits(entry));
        own.into_iter().chain(groups).map(|entry| entry.permissions)
    }

    /// What a client of a socket has to have here.
    #[must_use]
    pub fn needed(&self) -> u32 {
        if self.is_folder { ENTER } else { WRITE }
    }

    /// `drwxr-x--- predictd www-data`
    #[must_use]
    pub fn describe(&self, accounts: &Accounts) -> String {
        let kind = if self.is_folder {
            'd'
        } else if self.is_socket {
            's'
        } else {
            '-'
        };
        let bits: String = (0..9)
            .map(|bit| if self.mode >> (8 - bit) & 1 == 1 { ['r', 'w', 'x'][bit % 3] } else { '-' })
            .collect();
        let acl = if self.acl.is_empty() { "" } else { "+" };
        format!("{kind}{bits}{acl} {} {}", accounts.user_name(self.uid), accounts.group_name(self.gid))
    }
}

/// All that is between the root and a file, the file included, as far as it is there and we may look.
#[must_use]
pub fn way_to(path: &Path) -> (Vec<Step>, Option<(PathBuf, io::Error)>) {
    // Where a link leads matters, not the link.
    let parent = path.parent().unwrap_or(Path::new("/"));
    let real = fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned());
    let file = path.file_name().map_or_else(|| real.clone(), |name| real.join(name));
    let mut steps = Vec::new();
    let mut all: Vec<&Path> = file.ancestors().collect();
    all.reverse();
    for step in all {
        match Step::of(step) {
            Ok(step) => steps.push(step),
            Err(error) => return (steps, Some((step.to_owned(), error))),
        }
    }
    (steps, None)
}

/// The steps that stop `who`.
pub fn stops<'a>(steps: &'a [Step], who: &'a Identity) -> impl Iterator<Item = &'a Step> {
    steps.iter().filter(|step| !step.grants(who, step.needed()))
}

const ACL_ATTRIBUTE: &str = "system.posix_acl_access";

fn acl(path: &Path) -> Vec<AclEntry> {
    let mut bytes = [0; 4096];
    match rustix::fs::getxattr(path, ACL_ATTRIBUTE, &mut bytes) {
        Ok(length) => parse_acl(&bytes[..length]),
        Err(_) => Vec::new(),
    }
}

/// The kernel's form: a version, then a tag, permissions and an id for each entry, little-endian.
fn parse_acl(bytes: &[u8]) -> Vec<AclEntry> {
    let Some(([2, 0, 0, 0], entries)) = bytes.split_at_checked(4) else { return Vec::new() };
    let entry = |entry: &[u8]| {
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let tag = match u16::from_le_bytes([entry[0], entry[1]]) {
            0x01 => AclTag::Owner,
            0x02 => AclTag::User(id),
            0x04 => AclTag::Group,
            0x08 => AclTag::NamedGroup(id),
            0x10 => AclTag::Mask,
            0x20 => AclTag::Other,
            _ => return None,
        };
        Some(AclEntry { tag, permissions: u16::from_le_bytes([entry[2], entry[3]]).into() })
    };
    entries.chunks_exact(8).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn step(mode: u32, uid: u32, gid: u32) -> Step {
        let acl = Vec::new();
        Step { path: "/x".into(), mode, uid, gid, is_folder: true, is_socket: false, acl }
    }

    fn who(uid: u32, gids: &[u32]) -> Identity {
        Identity { name: uid.to_string(), uid, gids: gids.to_vec() }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        for (mode, uid, gid, who, enter) in [
            (0o755, 0, 0, who(33, &[33]), true),
            (0o750, 990, 990, who(33, &[33]), false),
            (0o750, 990, 990, who(33, &[33, 990]), true),
            (0o700, 33, 990, who(33, &[33]), true),
            // The owner does not get what only the others have.
            (0o077, 33, 33, who(33, &[33]), false),
            (0o707, 1, 33, who(33, &[33]), false),
            (0o000, 1, 1, who(0, &[0]), true),
        ] {
            assert_eq!(step(mode, uid, gid).grants(&who, ENTER), enter, "{mode:o} {who:?}");
        }
    }

    #[test]
    fn an_access_control_list_decides_where_there_is_one() {
        let bytes: Vec<u8> = [2u32.to_le_bytes()]
            .concat()
            .into_iter()
            .chain(
                [
                    (0x01u16, 7u16, u32::MAX),
                    (0x02, 7, 33),
                    (0x04, 0, u32::MAX),
                    (0x10, 5, u32::MAX),
                    (0x20, 0, u32::MAX),
                ]
                .into_iter()
                .flat_map(|(tag, bits, id)| {
                    [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
                }),
            )
            .collect();
        let step = Step { acl: parse_acl(&bytes), ..step(0o750, 990, 990) };
        assert_eq!(step.acl.len(), 5);
        assert!(step.grants(&who(33, &[33]), ENTER));
        assert!(!step.grants(&who(33, &[33]), WRITE), "the mask takes it away");
        assert!(!step.grants(&who(34, &[34]), ENTER));
        assert!(!step.grants(&who(34, &[990]), ENTER));
        assert!(parse_acl(b"x").is_empty() && parse_acl(&bytes[..9]).is_empty());
    }

    #[test]
    fn the_way_is_looked_at_from_the_root() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let path = folder.path().join("s");
        let (steps, missing) = way_to(&path);
        assert_eq!(steps.first().unwrap().path, Path::new("/"));
        assert_eq!(missing.unwrap().0.file_name(), path.file_name());
        let who = who(65534, &[65534]);
        let stop = stops(&steps, &who).next().unwrap();
        assert_eq!(stop.path, fs::canonicalize(folder.path()).unwrap());
        assert!(stop.describe(&Accounts::System).starts_with("drwx------ "));
    }
}
