//! Numbers as they are read at a glance: three digits and a unit. What is not known is a dash.

/// Of something, per second.
pub(super) fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".into(),
        Some(0.0) => "0".into(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}"),
        Some(rate) => scaled(rate),
    }
}

/// How many.
pub(super) fn count(count: u64) -> String {
    scaled(count as f64)
}

fn scaled(number: f64) -> String {
    match number {
        ..9_999.5 => format!("{number:.0}"),
        ..999_500.0 => format!("{:.1}k", number / 1e3),
        ..999_500_000.0 => format!("{:.1}M", number / 1e6),
        _ => format!("{:.1}G", number / 1e9),
    }
}

/// A time.
pub(super) fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".into(),
        Some(seconds) if seconds < 999.5e-6 => format!("{:.0} us", seconds * 1e6),
        Some(seconds) if seconds < 9.95e-3 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) if seconds < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        Some(seconds) if seconds < 99.95 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 5999.5 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) => format!("{:.0} h", seconds / 3600.0),
    }
}

/// A part of a whole, or of one core.
pub(super) fn part(part: Option<f64>) -> String {
    part.map_or_else(|| "-".into(), |part| format!("{:.0} %", part * 100.0))
}

/// Memory.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    let digits = usize::from(unit > 0 && amount < 9.95);
    format!("{amount:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_three_digits_and_a_unit() {
        for (number, shown) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (9.94, "9.9"),
            (9.96, "10"),
            (9999.0, "9999"),
            (12_345.0, "12.3k"),
            (2.5e6, "2.5M"),
        ] {
            assert_eq!(rate(Some(number)), shown);
        }
        for (seconds, shown) in [
            (0.000_02, "20 us"),
            (0.001, "1.0 ms"),
            (0.0123, "12 ms"),
            (1.23, "1.2 s"),
            (99.0, "99.0 s"),
            (120.0, "2 min"),
            (7200.0, "2 h"),
        ] {
            assert_eq!(time(Some(seconds)), shown);
        }
        for (amount, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (1 << 20, "1.0 MiB"),
            (512 << 20, "512 MiB"),
            (1 << 40, "1.0 TiB"),
        ] {
            assert_eq!(bytes(amount), shown);
        }
        assert_eq!((part(Some(1.634)), part(None), rate(None)), ("163 %".into(), "-".into(), "-".into()));
        assert_eq!(count(3_100_000_000), "3.1G");
    }
}
