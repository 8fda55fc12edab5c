//! The file that says which process to signal.
//!
//! It is locked for as long as its process lives, so that one left by a killed server is known for what it is, whatever
//! process has its number by now. It is replaced as a whole, and removed only by the process that it names.

use rustix::fs::{self as unix, Access};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Our own, removed on drop.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    file: File,
    is_ours: bool,
    last_word: Option<String>,
}

/// What a pidfile says.
#[derive(Debug)]
pub enum Found {
    /// There is none.
    Missing,
    /// There is one, and nobody who holds it.
    Stale,
    /// This process has written it and lives.
    Running(Holder),
}

/// A server that has written its pidfile.
#[derive(Debug)]
pub struct Holder {
    /// Its process.
    pub pid: i32,
    file: File,
}

impl Pidfile {
    /// Whether one can be made at `path`, as far as that can be known before.
    ///
    /// # Errors
    /// Why not.
    pub fn check(path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(unix::access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
    }

    /// Says at `path` that this is the process.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(path: &Path) -> io::Result<Self> {
        let pid = std::process::id();
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{pid}"));
        let draft = PathBuf::from(draft);
        // A draft of ours from a life before: nobody else has this number now.
        let _ = fs::remove_file(&draft);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create_new(true).mode(0o644).open(&draft)?;
        let written =
            file.lock().and_then(|()| writeln!(file, "{pid}")).and_then(|()| fs::rename(&draft, path));
        if let Err(error) = written {
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        Ok(Self { path: path.to_owned(), file, is_ours: true, last_word: None })
    }

    /// Leaves it to the process that has taken over, which puts its own in its place.
    pub fn give_up(mut self) {
        self.is_ours = false;
    }

    /// What whoever waits for our end is to read.
    pub fn leave_word(&mut self, word: String) {
        self.last_word = Some(word);
    }

    /// Who runs, by the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, or is no pidfile.
    pub fn find(path: &Path) -> io::Result<Found> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => return Ok(Found::Stale),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut text = String::new();
        (&mut file).take(64).read_to_string(&mut text)?;
        let pid = text.lines().next().and_then(|line| line.parse().ok()).filter(|pid| *pid > 0);
        let pid =
            pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "there is no process id in it"))?;
        Ok(Found::Running(Holder { pid, file }))
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if !self.is_ours {
            return;
        }
        if let Some(word) = &self.last_word {
            let _ = writeln!(self.file, "{word}");
        }
        let ours = self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let there = fs::symlink_metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        if let (Ok(ours), Ok(there)) = (ours, there)
            && ours == there
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Holder {
    /// What the process has left to be read when it ended, if it had the time.
    #[must_use]
    pub fn last_word(mut self) -> Option<String> {
        let mut text = String::new();
        self.file.rewind().ok()?;
        self.file.take(4096).read_to_string(&mut text).ok()?;
        text.lines().nth(1).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        (folder, path)
    }

    #[test]
    fn it_names_this_process_and_goes_with_it() {
        let (folder, path) = folder();
        assert!(matches!(Pidfile::find(&path).unwrap(), Found::Missing));
        let mut pidfile = Pidfile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let Found::Running(holder) = Pidfile::find(&path).unwrap() else { panic!() };
        assert_eq!(u32::try_from(holder.pid).unwrap(), std::process::id());
        pidfile.leave_word("that was it".into());
        drop(pidfile);
        assert_eq!(holder.last_word().unwrap(), "that was it");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_that_nobody_holds_is_stale_and_may_be_replaced() {
        let (_folder, path) = folder();
        fs::write(&path, "1\n").unwrap();
        assert!(matches!(Pidfile::find(&path).unwrap(), Found::Stale));
        let pidfile = Pidfile::write(&path).unwrap();
        assert!(matches!(Pidfile::find(&path).unwrap(), Found::Running(_)));
        drop(pidfile);
        assert!(!path.exists());
    }

    #[test]
    fn anothers_is_not_removed() {
        let (_folder, path) = folder();
        let first = Pidfile::write(&path).unwrap();
        let second = Pidfile::write(&path).unwrap();
        drop(first);
        assert!(matches!(Pidfile::find(&path).unwrap(), Found::Running(_)));
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let (folder, path) = folder();
        Pidfile::check(&path).unwrap();
        Pidfile::check(Path::new("here.pid")).unwrap();
        assert!(Pidfile::check(&folder.path().join("no/pid")).is_err());
        assert!(Pidfile::write(&folder.path().join("no/pid")).is_err());
    }
}
