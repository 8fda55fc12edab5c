//! Colours, where standard output is a terminal and `NO_COLOR` does not forbid them.

use std::{
    fmt::Display,
    io::{IsTerminal, stdout},
};

/// What a piece of text is, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Title,
    Good,
    Bad,
    Warn,
    Aside,
}

/// Whether the terminal says of itself that it can do nothing but print.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Puts colours around texts, or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    colours: bool,
}

impl Paint {
    pub(super) fn for_stdout() -> Self {
        // no-color.org: set to anything but nothing.
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: stdout().is_terminal() && !is_dumb() && !forbidden }
    }

    pub(super) fn has_colours(self) -> bool {
        self.colours
    }

    /// Without colours.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { colours: false }
    }

    /// With colours.
    #[cfg(test)]
    pub(super) fn coloured() -> Self {
        Self { colours: true }
    }

    pub(super) fn text(self, ink: Ink, text: impl Display) -> String {
        let code = match ink {
            Ink::Plain => return text.to_string(),
            Ink::Title => "1",
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Warn => "33",
            Ink::Aside => "2",
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}
