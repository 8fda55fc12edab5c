//! Where workers run: `"auto"`, `"off"`, or cores listed as `taskset` lists them.

use crate::os::cpus::CpuId;
use std::{fmt, str::FromStr};

/// Where workers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Each on a core of its own, of those allowed.
    Auto,
    /// Wherever the kernel likes.
    Off,
    /// On these, rising.
    Cpus(Vec<CpuId>),
}

impl Pin {
    pub(super) const EXPECTED: &str = "\"auto\", \"off\" or a list of cores like \"0-3,8\"";
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        let error = || format!("\"{}\" is not {}", text.escape_debug(), Self::EXPECTED);
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().map_err(|_| error())?;
            let last: usize = last.trim().parse().map_err(|_| error())?;
            if first > last || last >= rustix::thread::CpuSet::MAX_CPU {
                return Err(error());
            }
            cpus.extend((first..=last).map(CpuId));
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Self::Cpus(cpus))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = match self {
            Self::Auto => return f.write_str("auto"),
            Self::Off => return f.write_str("off"),
            Self::Cpus(cpus) => cpus,
        };
        let runs = cpus.chunk_by(|a, b| a.0 + 1 == b.0).filter_map(|run| Some((run.first()?, run.last()?)));
        for (at, (first, last)) in runs.enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_listed_as_taskset_lists_them() {
        for (text, shown) in [
            ("auto", "auto"),
            ("off", "off"),
            ("0", "0"),
            ("0-2, 8,1", "0-2,8"),
            ("3,1-2,2", "1-3"),
            ("0-1,3-4", "0-1,3-4"),
        ] {
            assert_eq!(text.parse::<Pin>().unwrap().to_string(), shown);
        }
        assert_eq!("0-1,8".parse(), Ok(Pin::Cpus([0, 1, 8].map(CpuId).to_vec())));
        for text in ["", "a", "1-", "-1", "1,,2", "5000", "3-1", "0-99999999999999999999"] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
    }
}
