//! Where log lines go: a bounded buffer that one thread empties, so that nobody who logs ever waits for a disk, or for
//! whoever should be reading the other end of a pipe.
//!
//! Lines that can wait are gathered for a moment and written together. What finds no room is lost, counted, and told as
//! soon as something can be written again. Lines are whole, in order, whatever happens in between.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes of lines that may wait.
const ROOM: usize = 1 << 20;

/// Of these, what is kept for lines that are urgent, so that a flood of others does not take them with it.
const KEPT: usize = ROOM / 4;

/// How long lines that can wait are gathered.
const GATHER: Duration = Duration::from_millis(10);

/// How long it is until what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Standard error.
    Stderr,
    /// A file, added to.
    File(PathBuf),
}

impl Target {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Self::Stderr => Box::new(Stderr),
            Self::File(path) => Box::new(open(path)?),
        })
    }
}

/// Without the standard library's lock on it: nobody is to wait for us.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stderr(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// The way to one target; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    target: Target,
    state: Mutex<State>,
    /// The thread waits here for something to do, or for what it does next to be due.
    bell: Condvar,
    /// Whoever wants all of it written waits here.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    lost: u64,
    /// Something that waits is not to wait any longer.
    urgent: bool,
    reopen: bool,
    /// The thread has nothing to do, and must be woken.
    idle: bool,
    /// The thread has taken lines that are not written yet.
    writing: bool,
}

impl Sink {
    /// Opens `target` and starts its thread.
    pub(super) fn start(target: Target) -> io::Result<Self> {
        let out = target.open()?;
        Self::to(target, out)
    }

    fn to(target: Target, out: Box<dyn Write + Send>) -> io::Result<Self> {
        let (state, bell, written) = Default::default();
        let shared = Arc::new(Shared { target, state, bell, written });
        let sink = Self(Arc::clone(&shared));
        thread::Builder::new()
            .name("log".into())
            .spawn(move || Writer { shared, out, failed: None }.run())?;
        Ok(sink)
    }

    fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.0.lock();
        let room = if urgent { ROOM } else { ROOM - KEPT };
        if state.waiting.len() + line.len() > room {
            state.lost += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        let ring = state.idle || urgent && !state.urgent;
        state.urgent |= urgent;
        state.idle = false;
        drop(state);
        if ring {
            self.0.bell.notify_one();
        }
    }

    /// What writes one line; an urgent one is not gathered with others.
    pub(super) fn line(&self, urgent: bool) -> Line<'_> {
        Line { sink: self, urgent }
    }

    /// Opens the file anew: the old one was moved away.
    pub(super) fn reopen(&self) {
        self.0.lock().reopen = true;
        self.0.bell.notify_one();
    }

    /// Waits until everything is written, for at most `patience`.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let mut state = self.0.lock();
        state.urgent = true;
        self.0.bell.notify_one();
        let unwritten = |state: &mut State| state.writing || state.reopen || !state.waiting.is_empty();
        let waited = self.0.written.wait_timeout_while(state, patience, unwritten);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event's line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    sink: &'a Sink,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.sink.push(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread's own.
struct Writer {
    shared: Arc<Shared>,
    out: Box<dyn Write + Send>,
    /// Why the last attempt failed, for the line that tells of it.
    failed: Option<io::Error>,
}

impl Writer {
    fn run(mut self) {
        let mut lines = Vec::new();
        loop {
            let reopen = self.take(&mut lines);
            if reopen {
                self.reopen();
            }
            let mut rest = &lines[..];
            while !rest.is_empty() {
                match self.out.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.fail(error);
                        if self.wait_to_retry() {
                            // The rest of a line whose beginning is in the other file would be rubbish there.
                            rest = after_broken_line(&lines, rest);
                            self.reopen();
                        }
                    }
                }
            }
            lines.clear();
            self.done();
        }
    }

    /// Waits for lines and takes them; says whether the file is to be opened anew.
    fn take(&self, lines: &mut Vec<u8>) -> bool {
        let ring = |state| self.shared.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        let mut state = self.shared.lock();
        while state.waiting.is_empty() && !state.reopen {
            state.urgent = false;
            state.idle = true;
            state = ring(state);
        }
        state.idle = false;
        let gathers = |state: &mut State| !state.urgent && !state.reopen;
        let gathered = self.shared.bell.wait_timeout_while(state, GATHER, gathers);
        let mut state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::swap(&mut state.waiting, lines);
        state.urgent = false;
        state.writing = true;
        std::mem::take(&mut state.reopen)
    }

    fn done(&mut self) {
        let lost = std::mem::take(&mut self.shared.lock().lost);
        let failed = self.failed.take();
        if lost > 0 {
            let reason = failed
                .map_or_else(|| "it came faster than it was taken".to_owned(), |error| error.to_string());
            tracing::warn!(lost, "lines of the log are lost: {reason}");
        }
        self.shared.lock().writing = false;
        self.shared.written.notify_all();
    }

    /// Says where it can be seen that the log cannot be written; once, until it can be.
    fn fail(&mut self, error: io::Error) {
        if let (None, Target::File(path)) = (&self.failed, &self.shared.target) {
            let _ = writeln!(
                io::stderr(),
                "predictd: {} cannot be written, and is tried again: {error}",
                path.display()
            );
        }
        self.failed = Some(error);
    }

    /// Whether it is to be opened anew before it is tried again.
    fn wait_to_retry(&self) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.bell.wait_timeout_while(state, RETRY, |state| !state.reopen);
        std::mem::take(&mut waited.unwrap_or_else(PoisonError::into_inner).0.reopen)
    }

    /// Where that fails, the file that is open is better than none.
    fn reopen(&mut self) {
        let target = &self.shared.target;
        match target.open() {
            Ok(out) => self.out = out,
            Err(error) => tracing::error!("the log cannot be opened anew: {target:?}: {error}"),
        }
    }
}

/// What is left of `rest`, the end of `lines`, from the next line on.
fn after_broken_line<'a>(lines: &'a [u8], rest: &'a [u8]) -> &'a [u8] {
    let begun = lines.len() - rest.len();
    if begun == 0 || lines[begun - 1] == b'\n' {
        return rest;
    }
    rest.iter().position(|byte| *byte == b'\n').map_or(&[], |end| &rest[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::net::UnixStream, time::Instant};

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn lines_are_written_whole_and_in_order_to_the_file_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let sink = Sink::start(Target::File(path.clone())).unwrap();
        sink.push(b"one\n", false);
        sink.push(b"two\n", true);
        assert!(sink.flush(PATIENCE));
        fs::rename(&path, &moved).unwrap();
        sink.push(b"three\n", false);
        assert!(sink.flush(PATIENCE));
        sink.reopen();
        assert!(sink.flush(PATIENCE));
        sink.push(b"four\n", false);
        assert!(sink.flush(PATIENCE));
        assert_eq!(fs::read_to_string(moved).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "four\n");
    }

    #[test]
    fn what_nobody_takes_is_lost_and_keeps_nobody_waiting() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sink = Sink::to(Target::Stderr, Box::new(ours)).unwrap();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let begun = Instant::now();
        (0..8 * 1024).for_each(|_| sink.push(&line, false));
        assert!(begun.elapsed() < PATIENCE);
        assert!(!sink.flush(Duration::from_millis(10)));
        let lost = sink.0.lock().lost;
        assert!((4 * 1024..=8 * 1024 - 768).contains(&lost), "{lost}");
        sink.push(&line, true);
        assert_eq!(sink.0.lock().lost, lost, "there is still room for news");
        let reader = thread::spawn(move || {
            io::copy(&mut &theirs, &mut io::sink()).unwrap();
        });
        assert!(sink.flush(PATIENCE));
        assert_eq!(sink.0.lock().lost, 0);
        drop(reader);
    }

    #[test]
    fn a_full_disk_is_waited_for() {
        let sink = Sink::start(Target::File("/dev/full".into())).unwrap();
        sink.push(b"one\n", true);
        assert!(!sink.flush(Duration::from_millis(50)));
        assert!(sink.0.lock().writing);
    }

    #[test]
    fn a_line_is_not_torn_between_two_files() {
        let lines = b"one\ntwo\nthree\n";
        for (written, left) in [(0, "one\ntwo\nthree\n"), (4, "two\nthree\n"), (5, "three\n"), (13, "")] {
            assert_eq!(after_broken_line(lines, &lines[written..]), left.as_bytes(), "{written}");
        }
    }
}
