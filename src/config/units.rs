//! Durations and sizes as configuration writes them: a whole number and a unit, `250ms` or `64MiB`.
//!
//! A number without a unit is an error that names the units, since nobody can tell what was meant by it.

use predictd_protocol::excerpt::excerpt;
use std::{fmt, str::FromStr, time};

/// A span of time: `1500us`, `250ms`, `30s`, `1m`, `2h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub time::Duration);

/// A number of bytes: `512B`, `64KiB`, `64MiB`, `1GiB` in powers of 1024, `64KB`, `64MB`, `1GB` in powers of 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Why a text is no duration or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a whole number and one of the units.
    #[error("`{}` is not a {kind}: a whole number and one of {units}, as in {example}", excerpt(.text))]
    Malformed {
        /// What was written.
        text: String,
        /// Duration or size.
        kind: &'static str,
        /// The units there are.
        units: String,
        /// One that is right.
        example: &'static str,
    },
    /// More than 64 bits hold.
    #[error("`{}` is too large", excerpt(.0))]
    TooLarge(String),
}

/// What a kind of quantity is written in; the amounts are whole multiples of the smallest unit.
struct Scale {
    kind: &'static str,
    units: &'static [(&'static str, u64)],
    example: &'static str,
    /// How units begin that are written otherwise elsewhere, in lower case, and ours; the first that fits.
    foreign: &'static [(&'static str, &'static str)],
}

const TIME: Scale = Scale {
    kind: "duration",
    units: &[("us", 1), ("ms", 1000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)],
    example: "250ms",
    foreign: &[("mic", "us"), ("mil", "ms"), ("ms", "ms"), ("s", "s"), ("m", "m"), ("h", "h")],
};

const BYTES: Scale = Scale {
    kind: "size",
    units: &[
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ],
    example: "64MiB",
    foreign: &[("b", "B"), ("k", "KiB"), ("m", "MiB"), ("g", "GiB"), ("t", "TiB")],
};

impl Scale {
    fn parse(&self, text: &str) -> Result<u64, Error> {
        let malformed = || Error::Malformed {
            text: text.into(),
            kind: self.kind,
            units: self.units(),
            example: self.example,
        };
        let (number, unit) = number_and_unit(text);
        let (_, factor) = self.units.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        if number.is_empty() {
            return Err(malformed());
        }
        let number: Option<u64> = number.parse().ok();
        number.and_then(|number| number.checked_mul(*factor)).ok_or_else(|| Error::TooLarge(text.into()))
    }

    fn units(&self) -> String {
        self.units.iter().map(|(unit, _)| *unit).collect::<Vec<_>>().join(", ")
    }

    fn expected(&self) -> String {
        format!("a {}: a whole number and one of {}, as in \"{}\"", self.kind, self.units(), self.example)
    }

    /// The same with our unit, where the unit is one of elsewhere.
    fn similar(&self, text: &str) -> Option<String> {
        let (number, unit) = number_and_unit(text);
        let unit = unit.to_lowercase();
        let (_, ours) = self.foreign.iter().find(|(start, _)| unit.starts_with(start))?;
        (!number.is_empty()).then(|| format!("{number}{ours}"))
    }

    /// Prints the amount with the unit that leaves the smallest whole number.
    fn print(&self, amount: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.units.iter().filter(|(_, factor)| amount.is_multiple_of(*factor));
        let (unit, factor) = whole.min_by_key(|(_, factor)| amount / factor).expect("1 divides any amount");
        write!(f, "{}{unit}", amount / factor)
    }
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

/// What is written as a number with a unit.
pub(super) trait Measure: FromStr<Err = Error> + fmt::Display {
    /// What is expected, as a file would have it.
    fn expected() -> String;

    /// What may have been meant by a text that is none.
    fn similar(text: &str) -> Option<String>;
}

impl Measure for Duration {
    fn expected() -> String {
        TIME.expected()
    }

    fn similar(text: &str) -> Option<String> {
        TIME.similar(text)
    }
}

impl Measure for Size {
    fn expected() -> String {
        BYTES.expected()
    }

    fn similar(text: &str) -> Option<String> {
        BYTES.similar(text)
    }
}

impl FromStr for Duration {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        TIME.parse(text).map(|micros| Self(time::Duration::from_micros(micros)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0ms");
        }
        TIME.print(u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX), f)
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        BYTES.parse(text).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BYTES.print(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed_alike() {
        for (text, micros) in
            [("0ms", 0), ("1500us", 1500), ("250ms", 250_000), ("30s", 30_000_000), ("1m", 60_000_000)]
        {
            let duration: Duration = text.parse().unwrap();
            assert_eq!((duration.0.as_micros(), duration.to_string()), (micros, text.to_owned()));
        }
        assert_eq!("120m".parse::<Duration>().unwrap().to_string(), "2h");
        assert_eq!(" 90 s ".parse::<Duration>().unwrap().to_string(), "90s");
    }

    #[test]
    fn sizes_are_read_and_printed_alike() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 65536),
            ("64MiB", 67_108_864),
            ("64MB", 64_000_000),
            ("1GiB", 1 << 30),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string()), (bytes, text.to_owned()));
        }
    }

    #[test]
    fn units_of_elsewhere_are_understood_enough_to_say_what_ours_is() {
        for (text, ours) in [
            ("64M", Some("64MiB")),
            ("64m", Some("64MiB")),
            ("64 mib", Some("64MiB")),
            ("1gb", Some("1GiB")),
            ("64", None),
            ("M", None),
        ] {
            assert_eq!(BYTES.similar(text).as_deref(), ours, "{text}");
        }
        for (text, ours) in [
            ("30 sec", Some("30s")),
            ("5min", Some("5m")),
            ("9 millis", Some("9ms")),
            ("1d", None),
            ("30", None),
        ] {
            assert_eq!(TIME.similar(text).as_deref(), ours, "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_a_wrong_one_is_refused_by_naming_the_units() {
        for text in ["30", "", "ms", "1.5s", "-1s", "30sec", "1 h 5 m", "3S"] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(error.ends_with("a whole number and one of us, ms, s, m, h, as in 250ms"), "{error}");
        }
        for text in ["64", "64M", "64mib", "MiB"] {
            assert!(text.parse::<Size>().unwrap_err().to_string().contains("KiB, MiB, GiB"));
        }
        for text in ["99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(text.parse::<Duration>(), Err(Error::TooLarge(text.into())));
        }
    }
}
