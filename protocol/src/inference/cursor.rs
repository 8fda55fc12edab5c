//! A place in a JSON text, moved forward value by value.
//!
//! For what serde cannot read: numbers as they are written, at the speed of a tensor, and the words that `/v1` has for
//! those that are not finite, which `/v2` reads too. It allocates for strings with escapes alone, and its recursion is bounded.

use crate::excerpt::Excerpt;
use std::{borrow::Cow, fmt};

/// Lists and objects that may lie in each other where nobody looks into them: as many as `serde_json` allows.
const MAX_DEPTH: usize = 128;

/// What is wrong with a JSON text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at line {} column {}", .0.what, .0.line, .0.column)]
pub struct SyntaxError(Box<Place>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    what: String,
    line: usize,
    column: usize,
}

/// A text, and how much of it is behind us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// A number as it is written: plus or minus `mantissa` * 10^`exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a> {
    /// All of it, which is ASCII.
    bytes: &'a [u8],
    /// Whether it begins with a minus.
    pub(super) negative: bool,
    /// All of its digits; `None` where they may be more than a `u64` holds, or the exponent more than an `i32`.
    pub(super) decimal: Option<(u64, i32)>,
    /// Whether it has neither point nor exponent.
    pub(super) is_integer: bool,
}

impl<'a> Number<'a> {
    /// All of it.
    pub(super) fn text(&self) -> &'a str {
        str::from_utf8(self.bytes).expect("digits, signs, points and exponents are ASCII")
    }
}

/// Digits that always fit a `u64`.
const DIGITS: usize = 19;

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// At the beginning of a body.
    pub(super) fn of_body(body: &'a [u8]) -> Result<Self, SyntaxError> {
        match str::from_utf8(body) {
            Ok(text) if text.starts_with('\u{feff}') => {
                Err(Self::new(text).error("there is a byte order mark before the JSON"))
            }
            Ok(text) => Ok(Self::new(text)),
            Err(error) => {
                let at = error.valid_up_to();
                let text = str::from_utf8(&body[..at]).unwrap_or_default();
                Err(Self { text, at }.error("bytes that are not UTF-8"))
            }
        }
    }

    /// Goes to what comes next, and looks at its first byte.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Takes `byte` if it comes next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes `word` if it comes next. What follows it must be looked at by the caller, as after any value.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.peek();
        let is_next = self.text[self.at..].starts_with(word);
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// Whether another item comes before `close`, which is taken. `first` is true at first, and then ours.
    #[inline]
    pub(super) fn another(&mut self, first: &mut bool, close: u8) -> Result<bool, SyntaxError> {
        let next = self.peek();
        if next == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        if std::mem::take(first) {
            return Ok(true);
        }
        if next != Some(b',') {
            let close = char::from(close);
            return Err(match next {
                None => self.error(format_args!("EOF while looking for ',' or '{close}'")),
                Some(_) => self.error(format_args!("expected ',' or '{close}'")),
            });
        }
        self.at += 1;
        if self.peek() == Some(close) { Err(self.error("trailing comma")) } else { Ok(true) }
    }

    /// Takes an object's next name and its colon.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        if self.peek() != Some(b'"') {
            return Err(self.error("a name must be a string"));
        }
        let key = self.string()?;
        if self.take(b':') { Ok(key) } else { Err(self.error("expected ':'")) }
    }

    /// Takes what opens a list or an object, called `what` where another thing comes.
    pub(super) fn open(&mut self, bracket: u8, what: &str) -> Result<(), SyntaxError> {
        if self.take(bracket) {
            return Ok(());
        }
        Err(match self.peek() {
            None => self.no_value(),
            Some(_) => self.error(format_args!("expected {what}")),
        })
    }

    /// Takes a whole number from 0, called `what` where another thing comes.
    pub(super) fn whole_number(&mut self, what: &str) -> Result<u64, SyntaxError> {
        self.peek();
        let before = *self;
        let number = self.number().filter(|number| number.is_integer);
        number.and_then(|number| number.text().parse().ok()).ok_or_else(|| {
            let rest = &before.text[before.at..];
            let ends = |next: char| matches!(next, ',' | ']' | '}') || next.is_ascii_whitespace();
            let got = Excerpt::of(rest.split(ends).next().unwrap_or_default(), 40);
            before.error(format_args!("{what} must be a whole number from 0, got '{got}'"))
        })
    }

    /// Takes true or false, called `what` where another thing comes.
    pub(super) fn boolean(&mut self, what: &str) -> Result<bool, SyntaxError> {
        if self.take_word("true") {
            Ok(true)
        } else if self.take_word("false") {
            Ok(false)
        } else {
            Err(self.error(format_args!("{what} must be true or false")))
        }
    }

    /// Puts `value` into `slot`, which must be empty: no member may come twice.
    pub(super) fn put_once<T>(&self, slot: &mut Option<T>, value: T, name: &str) -> Result<(), SyntaxError> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.error(format_args!("'{name}' is given twice"))),
        }
    }

    /// Takes a string, which must come next.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        if !self.take(b'"') {
            return Err(self.error("expected a string"));
        }
        let (text, start) = (self.text, self.at);
        let mut has_escapes = false;
        loop {
            match text.as_bytes().get(self.at) {
                None => return Err(self.error("EOF while parsing a string")),
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 2;
                }
                Some(..b' ') => return Err(self.error("control character in a string")),
                Some(_) => self.at += 1,
            }
        }
        let end = self.at;
        self.at += 1;
        if !has_escapes {
            return Ok(Cow::Borrowed(&text[start..end]));
        }
        let quoted = &text[start - 1..=end];
        serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| {
            self.at = start;
            self.error("invalid escape in a string")
        })
    }

    /// Takes a number, if one comes next.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Option<Number<'a>> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let mut mantissa = 0;
        let negative = rest.first() == Some(&b'-');
        let start = usize::from(negative);
        let mut at = digits(rest, start, &mut mantissa);
        let mut count = at - start;
        if count == 0 || count > 1 && rest[start] == b'0' {
            return None;
        }
        // Most that is not a fraction is a small whole number.
        if count <= DIGITS && !matches!(rest.get(at), Some(b'.' | b'e' | b'E')) {
            self.at += at;
            return Some(Number {
                bytes: &rest[..at],
                negative,
                decimal: Some((mantissa, 0)),
                is_integer: true,
            });
        }
        let (mut is_integer, mut fraction, mut exponent) = (true, 0, Some(0));
        if rest.get(at) == Some(&b'.') {
            let point = at + 1;
            at = digits(rest, point, &mut mantissa);
            (is_integer, fraction) = (false, at - point);
            count += fraction;
            if fraction == 0 {
                return None;
            }
        }
        if let Some(b'e' | b'E') = rest.get(at) {
            is_integer = false;
            (at, exponent) = power(rest, at + 1)?;
        }
        let bytes = &rest[..at];
        self.at += at;
        let fraction = i32::try_from(fraction).ok();
        let decimal = match exponent.zip(fraction) {
            Some((exponent, fraction)) if count <= DIGITS => {
                exponent.checked_sub(fraction).map(|exponent| (mantissa, exponent))
            }
            _ => None,
        };
        Some(Number { bytes, negative, decimal, is_integer })
    }

    /// Passes over a value; `words` are taken for values too.
    pub(super) fn skip(&mut self, words: &[&str]) -> Result<(), SyntaxError> {
        self.skip_in(words, MAX_DEPTH)
    }

    fn skip_in(&mut self, words: &[&str], depth: usize) -> Result<(), SyntaxError> {
        let Some(open @ (b'[' | b'{')) = self.peek() else { return self.skip_leaf(words) };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.error(format_args!("values are nested more than {MAX_DEPTH} deep")));
        };
        self.at += 1;
        let mut first = true;
        // In ASCII a closing bracket is two after its opening one.
        while self.another(&mut first, open + 2)? {
            if open == b'{' {
                self.key()?;
            }
            self.skip_in(words, depth)?;
        }
        Ok(())
    }

    fn skip_leaf(&mut self, words: &[&str]) -> Result<(), SyntaxError> {
        let is_value = match self.peek() {
            Some(b'"') => return self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().is_some(),
            _ => ["true", "false", "null"].iter().any(|word| self.take_word(word)),
        };
        if is_value || words.iter().any(|word| self.take_word(word)) { Ok(()) } else { Err(self.no_value()) }
    }

    /// Nothing may follow.
    pub(super) fn end(&mut self) -> Result<(), SyntaxError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.error("trailing characters")) }
    }

    /// What is said where a value should stand.
    pub(super) fn no_value(&self) -> SyntaxError {
        let is_end = self.at >= self.text.len();
        self.error(if is_end { "EOF where a value is expected" } else { "expected value" })
    }

    /// That something is wrong here.
    #[cold]
    pub(super) fn error(&self, what: impl fmt::Display) -> SyntaxError {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        SyntaxError(Box::new(Place { what: what.to_string(), line, column }))
    }
}

/// Adds the digits from `at` on to `mantissa`, which may overflow, and says where they end.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mantissa: &mut u64) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk()).and_then(eight_digits) {
        *mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(eight);
        at += 8;
    }
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    at
}

/// The number that eight digits are, all at once: neighbours are joined to numbers of two digits, of four, of eight.
#[inline]
fn eight_digits(bytes: &[u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let word = u64::from_le_bytes(*bytes);
    // Digits are 0x30 to 0x39: the upper half of each byte is 3, and is so too after 6 is added.
    let carried = word.wrapping_add(0x0606_0606_0606_0606) & HIGH;
    if word & HIGH != 0x3030_3030_3030_3030 || carried != 0x3030_3030_3030_3030 {
        return None;
    }
    let ones = word & !HIGH;
    let twos = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// The exponent from `at` on, `None` where it is out of range, and where it ends; `None` where there is none.
#[cold]
fn power(bytes: &[u8], at: usize) -> Option<(usize, Option<i32>)> {
    let sign = bytes.get(at).filter(|sign| matches!(sign, b'+' | b'-'));
    let start = at + usize::from(sign.is_some());
    let mut power = 0;
    let end = digits(bytes, start, &mut power);
    if end == start {
        return None;
    }
    let power = Some(power).filter(|_| end - start <= DIGITS).and_then(|power| i32::try_from(power).ok());
    Some((end, if sign == Some(&b'-') { power.map(|power| -power) } else { power }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_apart() {
        for (text, decimal, is_integer) in [
            ("0", Some((0, 0)), true),
            ("-0.50", Some((50, -2)), false),
            ("12345678", Some((12_345_678, 0)), true),
            ("1234567890123456789", Some((1_234_567_890_123_456_789, 0)), true),
            ("12345678901234567890", None, true),
            ("0.98765432e-3", Some((98_765_432, -11)), false),
            ("1E+5", Some((1, 5)), false),
            ("1e99999999999", None, false),
            ("1e99999999999999999999999", None, false),
        ] {
            let number = Cursor::new(text).number().expect(text);
            assert_eq!((number.text(), number.decimal), (text, decimal));
            assert_eq!((number.negative, number.is_integer), (text.starts_with('-'), is_integer), "{text}");
        }
        for text in ["", "-", "01", "-01", ".5", "1.", "1.e5", "1e", "1e+", "+1", "/", ":"] {
            assert!(Cursor::new(text).number().is_none(), "{text}");
        }
        // What ends a number is not its matter.
        assert_eq!(Cursor::new("1234567:").number().unwrap().text(), "1234567");
        assert_eq!(Cursor::new("1234567/").number().unwrap().text(), "1234567");
    }

    #[test]
    fn a_value_is_passed_over() {
        let skip = |text: &str| {
            let mut cursor = Cursor::new(text);
            cursor.skip(&["NaN"]).and_then(|()| cursor.end())
        };
        for text in [r#"{"a":[1,{"b":null}], "é\n\"":""}"#, "[]", " {} ", "[NaN, true]", "-1.5e3"] {
            skip(text).expect(text);
        }
        for (text, says) in [
            ("", "EOF where a value is expected at line 1 column 1"),
            ("[1\n,]", "trailing comma at line 2 column 2"),
            ("[1 2]", "expected ',' or ']'"),
            ("[1", "EOF while looking for ',' or ']'"),
            ("{1:2}", "a name must be a string"),
            (r#"{"a" 1}"#, "expected ':'"),
            (r#""\"#, "EOF while parsing a string"),
            (r#""\ud800""#, "invalid escape"),
            ("\"\n\"", "control character"),
            ("[Infinity]", "expected value"),
            ("nul", "expected value"),
            ("1 1", "trailing characters"),
        ] {
            let error = skip(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(skip(&"[{\"a\":".repeat(50_000)).unwrap_err().to_string().contains("more than 128 deep"));
    }
}
