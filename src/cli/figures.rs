//! Numbers as people read them.

use std::time::Duration;

/// In the unit that leaves a few digits.
pub(super) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.1} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// So many a second, as `81,300` or, where there are few, as `7.5`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.1}") } else { grouped(per_second.round() as u64) }
}

/// With a comma before every three digits.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_few_digits_and_commas() {
        let times = [(81, "81.0 us"), (2_000, "2.0 ms"), (999_940, "999.9 ms"), (61_000_000, "61.00 s")];
        for (micros, text) in times {
            assert_eq!(spoken(Duration::from_micros(micros)), text);
        }
        for (value, text) in
            [(0.04, "0.0"), (99.94, "99.9"), (100.4, "100"), (999.6, "1,000"), (81_300.2, "81,300")]
        {
            assert_eq!(rate(value), text);
        }
        assert_eq!([0, 12, 123, 1_234, 1_234_567].map(grouped), ["0", "12", "123", "1,234", "1,234,567"]);
    }
}
