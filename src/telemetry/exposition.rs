//! Prometheus' text format, version 0.0.4: families with their help and type, and their samples.
//!
//! To be read by everybody who reads Prometheus, so that it is checked by Prometheus' own tool.

use std::fmt::{self, Write};

/// What the text is sent as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text, family by family.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// What samples of a family mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows, from zero at the start.
    Counter,
    /// It is what it is.
    Gauge,
    /// How many are within each of a row of bounds.
    Histogram,
}

/// Names and values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Begins a family; it is written with its first sample.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &'a str) -> Family<'a> {
        Family { text: &mut self.0, name, kind, help, begun: false }
    }

    /// A family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl fmt::Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// All samples of one name.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
    kind: Kind,
    help: &'a str,
    begun: bool,
}

impl Family<'_> {
    /// A counter's or a gauge's sample.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl fmt::Display) {
        self.line("", labels, None, value);
    }

    /// A histogram's samples: `buckets` holds how many there are within each bound alone, and one place more for those over
    /// the last.
    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        bounds: impl IntoIterator<Item = f64>,
        buckets: &[u64],
        sum: impl fmt::Display,
    ) {
        let mut counts = buckets.iter();
        let mut within = 0;
        for bound in bounds {
            within += counts.next().copied().unwrap_or_default();
            self.line("_bucket", labels, Some(bound), within);
        }
        let count = within + counts.sum::<u64>();
        self.line("_bucket", labels, Some(f64::INFINITY), count);
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<f64>, value: impl fmt::Display) {
        if !std::mem::replace(&mut self.begun, true) {
            self.head();
        }
        let bound = bound.map(|bound| if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() });
        let labels = labels.iter().copied().chain(bound.as_deref().map(|bound| ("le", bound)));
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels {
            let _ = write!(self.text, "{before}{name}=\"{}\"", Escaped(value, true));
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    fn head(&mut self) {
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let (name, help) = (self.name, Escaped(self.help, false));
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }
}

/// A text in which nothing ends it; in quotes these neither.
struct Escaped<'a>(&'a str, bool);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if self.1 => f.write_str("\\\""),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut exposition = Exposition::default();
        exposition.single("up", Kind::Gauge, "Whether it is \"up\".\nOr \\ not.", 1);
        let mut family = exposition.family("asked_total", Kind::Counter, "Asked.");
        family.sample(&[("by", "a\"b\\c\nd"), ("of", "")], 18_446_744_073_709_551_615u64);
        family.sample(&[], 0.1);
        exposition.family("silent", Kind::Gauge, "Nothing to say.");
        let mut family = exposition.family("took_seconds", Kind::Histogram, "Took.");
        family.histogram(&[("m", "x")], [0.00002, 0.5, 30.0], &[1, 0, 2, 3], 95.25);
        let expected = r#"# HELP up Whether it is "up".\nOr \\ not.
# TYPE up gauge
up 1
# HELP asked_total Asked.
# TYPE asked_total counter
asked_total{by="a\"b\\c\nd",of=""} 18446744073709551615
asked_total 0.1
# HELP took_seconds Took.
# TYPE took_seconds histogram
took_seconds_bucket{m="x",le="0.00002"} 1
took_seconds_bucket{m="x",le="0.5"} 1
took_seconds_bucket{m="x",le="30"} 3
took_seconds_bucket{m="x",le="+Inf"} 6
took_seconds_sum{m="x"} 95.25
took_seconds_count{m="x"} 6
"#;
        assert_eq!(exposition.into_text(), expected);
    }
}
