//! The file of a Unix socket: who makes it, what rights it has, and who may remove it.
//!
//! One process at a time, by a lock beside it: `PATH.lock`, held from the moment that the path is looked at until the
//! socket listens, and removed by its holder. So a start that races with another finds either the lock taken or somebody
//! who answers, and the file that a dead server left is replaced by one of them only.

use super::{Address, BindError, Options, stream_socket};
use crate::os::users;
use rustix::{
    fs::{self, AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, Uid},
    io::Errno,
    net::{self, AddressFamily, SocketAddrUnix},
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Bytes of a path that everybody can call: unix(7), sun_path.
const PATH_MAX: usize = 107;

/// How long another process may hold the lock, as it does for a moment when it ends. One that starts keeps it until it
/// listens, which is for as long as its models take.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Binds a socket of its own to `path`, with its rights as they are to be. Nobody can connect yet: that needs `listen`, which
/// comes after all of this, so that there is no moment in which the wrong ones could. (Binding elsewhere and renaming would
/// do as well, but `ss` would show the other name for ever.)
pub(super) fn bind(
    address: &Address,
    path: &Path,
    options: &Options,
) -> Result<(OwnedFd, SocketFile, Lock), BindError> {
    let fail = |errno| BindError::from_errno(address, errno);
    // The kernel has room for one byte more, and others expect it to be zero.
    if path.as_os_str().len() > PATH_MAX {
        return Err(BindError::TooLong(address.clone()));
    }
    let to = SocketAddrUnix::new(path).map_err(fail)?;
    // Before anything is made: a name that nobody has is no reason to leave something behind.
    let rights = Rights::of(address, options)?;
    let lock = Lock::take(path, LOCK_PATIENCE).map_err(|errno| match errno {
        Errno::WOULDBLOCK => BindError::Starting(address.clone()),
        other => fail(other),
    })?;
    replace_stale(address, path, &to)?;
    let fd = stream_socket(AddressFamily::UNIX).map_err(fail)?;
    net::bind(&fd, &to).map_err(fail)?;
    let opened = open(path).map_err(fail)?;
    let stat = fs::fstat(&opened).map_err(fail)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(BindError::NotASocket(address.clone()));
    }
    let file = SocketFile { path: path.to_owned(), device: stat.st_dev, inode: stat.st_ino };
    if let Err(error) = rights.set(&opened, address) {
        file.remove_locked();
        return Err(error);
    }
    Ok((fd, file, lock))
}

/// What happens to a file that is opened so, happens to this one and not to a link that somebody puts in its place.
fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Who may do what with a socket's file. Where nobody is named, whose it is remains.
#[derive(Debug)]
pub(super) struct Rights {
    mode: u32,
    owner: Option<u32>,
    group: Option<u32>,
}

impl Rights {
    /// As `options` have it.
    pub(super) fn of(address: &Address, options: &Options) -> Result<Self, BindError> {
        let owner = options.owner.as_ref().map(users::user_id).transpose();
        let owner = owner.map_err(|error| BindError::Account(address.clone(), "socket.owner", error))?;
        let group = options.group.as_ref().map(users::group_id).transpose();
        let group = group.map_err(|error| BindError::Account(address.clone(), "socket.group", error))?;
        Ok(Self { mode: options.mode, owner, group })
    }

    fn set(&self, file: &OwnedFd, address: &Address) -> Result<(), BindError> {
        self.try_set(file).map_err(|(key, errno)| match errno {
            Errno::PERM => BindError::Rights(address.clone(), key),
            other => BindError::Os(address.clone(), io::Error::from(other)),
        })
    }

    fn try_set(&self, file: &OwnedFd) -> Result<(), (&'static str, Errno)> {
        let chown = |owner: Option<u32>, group: Option<u32>| {
            let (owner, group) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
            fs::chownat(file, "", owner, group, AtFlags::EMPTY_PATH)
        };
        // The group first: with the owner goes the right to change it.
        self.group
            .map_or(Ok(()), |group| chown(None, Some(group)))
            .map_err(|errno| ("socket.group", errno))?;
        self.owner
            .map_or(Ok(()), |owner| chown(Some(owner), None))
            .map_err(|errno| ("socket.owner", errno))?;
        // Not by the umask, which belongs to the whole process, and not by the path. fchmod(2) refuses such a descriptor, and
        // its detour by /proc is older than fchmodat2(2).
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::chmod(path, Mode::from_raw_mode(self.mode)).map_err(|errno| ("socket.mode", errno))
    }
}

/// Removes the socket that a dead server left, and nothing else.
fn replace_stale(address: &Address, path: &Path, to: &SocketAddrUnix) -> Result<(), BindError> {
    let fail = |errno| BindError::from_errno(address, errno);
    match fs::lstat(path) {
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(fail(errno)),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Socket => {
            return Err(BindError::NotASocket(address.clone()));
        }
        Ok(_) => {}
    }
    let probe = stream_socket(AddressFamily::UNIX).map_err(fail)?;
    match net::connect(&probe, to) {
        Err(Errno::CONNREFUSED) => {
            tracing::info!(socket = %address, "replacing the socket that a dead server left");
            fs::unlink(path).map_err(fail)
        }
        // A full backlog answers EAGAIN: somebody holds it.
        Ok(()) | Err(Errno::AGAIN) => Err(BindError::InUse(address.clone())),
        Err(other) => Err(fail(other)),
    }
}

/// The right to make or remove the file of a socket; its own file is gone when it is given up.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: OwnedFd,
}

impl Lock {
    fn take(socket: &Path, patience: Duration) -> rustix::io::Result<Self> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let end = Instant::now() + patience;
        loop {
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
            match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                    thread::park_timeout(Duration::from_millis(5));
                    continue;
                }
                Err(errno) => return Err(errno),
            }
            // The one before us removed the file when it was done, so that we may hold a lock on nothing.
            let held = fs::fstat(&file)?;
            if fs::stat(&path).is_ok_and(|there| (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::unlink(&self.path);
    }
}

/// The file of a socket, and which one it was when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    /// Where.
    pub path: PathBuf,
    /// On which file system.
    pub device: u64,
    /// Which of its files.
    pub inode: u64,
}

impl SocketFile {
    /// Gives it other rights, as a process does that goes on with another's socket. What has no name any more, or another
    /// file in its place, has none to be changed.
    pub(super) fn set_rights(&self, mut rights: Rights, address: &Address) -> Result<(), BindError> {
        let Ok(file) = open(&self.path) else { return Ok(()) };
        let stat = fs::fstat(&file).map_err(|errno| BindError::from_errno(address, errno))?;
        if (stat.st_dev, stat.st_ino) != (self.device, self.inode) {
            return Ok(());
        }
        // Where nobody is named, it is whose a new one would be. What is right already need not be allowed.
        let owner = rights.owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        let group = rights.group.unwrap_or_else(|| self.usual_group());
        rights.owner = Some(owner).filter(|owner| *owner != stat.st_uid);
        rights.group = Some(group).filter(|group| *group != stat.st_gid);
        rights.set(&file, address)
    }

    /// Of a file that is made there: the folder's where that has the bit for it, else ours.
    fn usual_group(&self) -> u32 {
        let folder = self.path.parent().and_then(|folder| fs::stat(folder).ok());
        let inherits = folder.filter(|folder| Mode::from_raw_mode(folder.st_mode).contains(Mode::SGID));
        inherits.map_or_else(|| rustix::process::getegid().as_raw(), |folder| folder.st_gid)
    }

    /// Removes it, unless somebody else has put another in its place. Whoever holds the lock now is about to: nobody answers
    /// on it any more.
    pub(super) fn remove(&self) {
        match Lock::take(&self.path, Duration::ZERO) {
            Ok(_lock) => self.remove_locked(),
            Err(errno) => {
                let error = io::Error::from(errno);
                tracing::debug!(socket = %self.path.display(), "left where it is: {error}");
            }
        }
    }

    fn remove_locked(&self) {
        if let Ok(stat) = fs::lstat(&self.path)
            && (stat.st_dev, stat.st_ino) == (self.device, self.inode)
        {
            let _ = fs::unlink(&self.path);
        }
    }
}
