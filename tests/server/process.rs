//! A child process, ended with its test: its log as it comes, its signals and its end.

use crate::harness::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

/// A process whose standard error is read as it comes.
pub(crate) struct Process {
    child: Child,
    /// Lines to come, and those seen.
    log: Mutex<(mpsc::Receiver<String>, Vec<String>)>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        Self::start_as(command)
    }

    /// With a standard output of its own.
    pub(crate) fn start_as(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::sync_channel(100_000);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, log: Mutex::new((lines, Vec::new())) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of the log that contains `text`, and gives it.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_nth_line(text, 0)
    }

    /// Waits for the line that contains `text` after `before` others that do.
    #[track_caller]
    pub(crate) fn wait_for_nth_line(&self, text: &str, before: usize) -> String {
        let end = Instant::now() + PATIENCE;
        let (lines, seen) = &mut *self.log.lock().unwrap();
        let (mut looked_at, mut found) = (0, 0);
        loop {
            for line in &seen[looked_at..] {
                found += usize::from(line.contains(text));
                if found > before {
                    return line.clone();
                }
            }
            looked_at = seen.len();
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if Instant::now() < end => seen.push(line),
                _ => panic!("not {} lines with '{text}'; there was:\n{}", before + 1, seen.join("\n")),
            }
        }
    }

    /// The phases of its life, as the log has them.
    pub(crate) fn phases(&self) -> Vec<String> {
        let (lines, seen) = &mut *self.log.lock().unwrap();
        // What an ended process has said may still be on its way; one that goes on says more and more.
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end
            && let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            seen.push(line);
        }
        let phase = |line: &String| Some(line.split("phase=\"").nth(1)?.split('"').next()?.to_owned());
        seen.iter().filter_map(phase).collect()
    }

    /// Waits until `done`, unless the process ends before.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, done: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            if self.child.try_wait().unwrap().is_some() || Instant::now() > end {
                self.wait_for_line(what);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Whether a line of the log contains `text` by now.
    pub(crate) fn has_line(&self, text: &str) -> bool {
        self.count_lines(text) > 0
    }

    /// The longest line of the log by now.
    pub(crate) fn longest_line(&self) -> String {
        let (lines, seen) = &mut *self.log.lock().unwrap();
        seen.extend(lines.try_iter());
        seen.iter().max_by_key(|line| line.len()).cloned().unwrap_or_default()
    }

    /// How many lines of the log contain `text` by now.
    pub(crate) fn count_lines(&self, text: &str) -> usize {
        let (lines, seen) = &mut *self.log.lock().unwrap();
        seen.extend(lines.try_iter());
        seen.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until a connection to `port` is accepted.
    #[track_caller]
    pub(crate) fn wait_until_it_listens(&mut self, port: u16) {
        let end = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > end {
                let (lines, seen) = &mut *self.log.lock().unwrap();
                while let Ok(line) = lines.recv_timeout(Duration::from_millis(100)) {
                    seen.push(line);
                }
                panic!("it does not listen ({ended:?}):\n{}", seen.join("\n"));
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "process {} does not end", self.id());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// Sends a process the signal of this name, without SIG.
pub(crate) fn signal(process: u32, name: &str) -> rustix::io::Result<()> {
    let signal = match name {
        "CONT" => Signal::CONT,
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "TERM" => Signal::TERM,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "WINCH" => Signal::WINCH,
        _ => panic!("no test sends SIG{name}"),
    };
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).unwrap();
    kill_process(process, signal)
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking()
            && let Ok(log) = self.log.get_mut()
        {
            let (lines, seen) = log;
            seen.extend(lines.try_iter());
            let last = &seen[seen.len().saturating_sub(30)..];
            eprintln!("the last of what process {} has said:\n{}", self.child.id(), last.join("\n"));
        }
    }
}
