//! One line on standard error that says what long work is at, if that is a terminal; each takes the place of the one before.

use std::io::{IsTerminal, Write, stderr};

/// Shows it, or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    seen: bool,
}

impl Progress {
    pub(super) fn for_stderr() -> Self {
        Self { seen: stderr().is_terminal() }
    }

    /// Whether there is anybody to see it.
    pub(super) fn is_seen(self) -> bool {
        self.seen
    }

    pub(super) fn show(self, text: &str) {
        if self.seen {
            let mut out = stderr().lock();
            let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
        }
    }

    /// To be called before anything else is printed.
    pub(super) fn clear(self) {
        self.show("");
    }
}
