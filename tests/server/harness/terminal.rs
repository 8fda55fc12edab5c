//! A program on a terminal of its own: what is on the screen, and keys.

use super::{PATIENCE, within};
use rustix::{
    fs::OFlags,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Termios, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read, Write},
    num::NonZero,
    os::fd::OwnedFd,
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Instant,
};

/// The program, ended on drop, and its terminal.
pub(crate) struct Terminal {
    child: Child,
    master: File,
    /// Kept open, so that what it is set to outlives the program.
    slave: Option<OwnedFd>,
    /// Ends when nobody has the terminal any more.
    reader: Option<JoinHandle<()>>,
    before: Termios,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    screen: vt100::Parser,
    raw: Vec<u8>,
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

fn places(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

impl Terminal {
    /// Starts it on a terminal of that size which can do colours.
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty()).unwrap();
        tcsetwinsize(&slave, size(columns, rows)).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let side = || slave.try_clone().unwrap();
        command.stdin(side()).stdout(side()).stderr(side());
        for (name, value) in [("TERM", Some("xterm-256color")), ("NO_COLOR", None), ("COLUMNS", None)] {
            if command.get_envs().all(|(given, _)| given != name) {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
        }
        let child = command.spawn().unwrap();
        let master = File::from(master);
        let screen = vt100::Parser::new(places(rows), places(columns), 0);
        let seen = Arc::new(Mutex::new(Seen { screen, raw: Vec::new() }));
        let (mut read, to) = (master.try_clone().unwrap(), Arc::clone(&seen));
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = read.read(&mut piece) {
                let mut seen = to.lock().unwrap();
                seen.screen.process(&piece[..length]);
                seen.raw.extend_from_slice(&piece[..length]);
            }
        });
        Self { child, master, slave: Some(slave), reader: Some(reader), before, seen }
    }

    /// What is on the screen, a line a row.
    pub(crate) fn screen(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    /// All that was written, as it was.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().raw).into_owned()
    }

    /// Waits until the screen is like this.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "in vain: {what}; there is:\n{screen}");
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
    }

    /// Waits until the screen has this text.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.seen.lock().unwrap().screen.screen_mut().set_size(places(rows), places(columns));
        tcsetwinsize(&self.master, size(columns, rows)).unwrap();
        // A shell would have made the terminal the program's own, and the kernel would have told it.
        self.signal("WINCH");
    }

    pub(crate) fn signal(&self, name: &str) {
        crate::process::signal(self.child.id(), name).unwrap();
    }

    /// How the program ends, and that it leaves the terminal as it was.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut status = None;
        within(PATIENCE, "the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let slave = self.slave.take().unwrap();
        let after = tcgetattr(&slave).unwrap();
        let modes = |termios: &Termios| (termios.local_modes, termios.input_modes, termios.output_modes);
        assert_eq!(modes(&after), modes(&self.before), "the terminal is as it was");
        drop(slave);
        self.reader.take().unwrap().join().unwrap();
        let (alternate, hidden) = {
            let seen = self.seen.lock().unwrap();
            (seen.screen.screen().alternate_screen(), seen.screen.screen().hide_cursor())
        };
        assert!(!alternate && !hidden, "the first screen is back, and a cursor");
        (status.and_then(|status| status.code()), self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
