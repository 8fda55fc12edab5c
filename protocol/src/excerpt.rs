//! What is quoted of a peer's words, in errors and in logs: their beginning, however long they are.

use std::fmt;

/// Prints a text; of a long one the beginning, and how long it is.
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'a> {
    text: &'a str,
    characters: usize,
}

/// As much of `text` as goes into a sentence.
#[must_use]
pub fn excerpt(text: &str) -> Excerpt<'_> {
    Excerpt::of(text, 100)
}

impl<'a> Excerpt<'a> {
    /// At most so many characters of `text`.
    #[must_use]
    pub fn of(text: &'a str, characters: usize) -> Self {
        Self { text, characters }
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.char_indices().nth(self.characters) {
            None => f.write_str(self.text),
            Some((end, _)) => write!(f, "{}... ({} bytes)", &self.text[..end], self.text.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for short in ["", "x", &"é".repeat(100)] {
            assert_eq!(excerpt(short).to_string(), short);
        }
        let long = excerpt(&"é".repeat(1 << 20)).to_string();
        assert_eq!(long, format!("{}... (2097152 bytes)", "é".repeat(100)));
        assert_eq!(Excerpt::of("abc", 2).to_string(), "ab... (3 bytes)");
    }
}
