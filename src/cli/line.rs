//! A line of text in pieces, each with its ink: what is drawn on a terminal, and printed without one.

use super::paint::Ink;
use std::fmt;

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) ink: Ink,
}

impl Piece {
    pub(super) fn new(text: impl Into<String>, ink: Ink) -> Self {
        Self { text: text.into(), ink }
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Ink::Plain)
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<Piece>);

impl Line {
    pub(super) fn of(text: impl Into<String>, ink: Ink) -> Self {
        Self(vec![Piece::new(text, ink)])
    }

    pub(super) fn push(&mut self, text: impl Into<String>, ink: Ink) {
        self.0.push(Piece::new(text, ink));
    }

    pub(super) fn plain(&mut self, text: impl Into<String>) {
        self.push(text, Ink::Plain);
    }

    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|piece| width(&piece.text)).sum()
    }

    /// So much of it, with a mark where some is missing.
    pub(super) fn cut(mut self, room: usize) -> Self {
        let mut left = room;
        for piece in &mut self.0 {
            let is_whole = width(&piece.text) <= left;
            piece.text = cut(&piece.text, left);
            left = if is_whole { left - width(&piece.text) } else { 0 };
        }
        self
    }

    /// The same all in one ink.
    pub(super) fn all_in(mut self, ink: Ink) -> Self {
        self.0.iter_mut().for_each(|piece| piece.ink = ink);
        self
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| f.write_str(&piece.text))
    }
}

/// How many places a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// So much of a text, with a mark where some is missing.
pub(super) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    if room == 0 { kept } else { kept + "…" }
}

/// Puts `pieces` on as many lines as it takes behind a label, some space between them.
pub(super) fn flow(label: &str, pieces: Vec<Piece>, room: usize) -> Vec<Line> {
    const LABEL: usize = 13;
    const GAP: usize = 3;
    let begin = |label: &str| Line::of(format!("{label:LABEL$}"), Ink::Title);
    let mut lines = vec![begin(label)];
    for piece in pieces {
        let line = lines.last_mut().expect("there is a first");
        let is_first = line.0.len() == 1;
        if !is_first && line.width() + GAP + width(&piece.text) > room {
            let mut next = begin("");
            next.0.push(piece);
            lines.push(next);
            continue;
        }
        if !is_first {
            line.plain(" ".repeat(GAP));
        }
        line.0.push(piece);
    }
    lines
}

/// The words of a text on lines of at most `room`, the text of strangers made plain.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let plain: String =
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let mut lines: Vec<String> = Vec::new();
    for word in plain.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_flow_onto_lines_under_one_label() {
        let pieces = || ["one", "two", "three"].map(Piece::plain).into();
        let shown =
            |room| -> Vec<String> { flow("label", pieces(), room).iter().map(ToString::to_string).collect() };
        assert_eq!(shown(80), ["label        one   two   three"]);
        assert_eq!(shown(22), ["label        one   two", "             three"]);
        assert_eq!(shown(5), ["label        one", "             two", "             three"]);
    }

    #[test]
    fn what_is_cut_has_a_mark() {
        let line = Line(["one ", "two ", "three"].map(Piece::plain).into());
        for (room, expected) in [
            (20, "one two three"),
            (13, "one two three"),
            (12, "one two thr…"),
            (8, "one two "),
            (6, "one t…"),
            (0, ""),
        ] {
            assert_eq!(line.clone().cut(room).to_string(), expected, "{room}");
        }
    }

    #[test]
    fn texts_wrap_at_words() {
        assert_eq!(wrap("a run\n of \x1b[31mx is slow", 8), ["a run of", "[31mx is", "slow"]);
        assert_eq!(wrap("extraordinary", 5), ["extraordinary"]);
        assert_eq!(wrap("", 5), [""; 0]);
    }
}
