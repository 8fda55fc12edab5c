//! How findings are shown: a block each for people, or JSON for programs.
//!
//! Nothing but a fix is wider than the terminal: a fix is one line, to be copied.

use super::paint::{Ink, Paint};
use crate::doctor::{Finding, Report, Severity, explain::Explanation, plural};
use serde_json::{Value, json};
use std::fmt::Write;

/// The width of labels, and of the lines below them.
const LABEL: usize = 9;

/// Columns: the terminal's, as far as lines of that length are pleasant to read, or 80.
pub(super) fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.map_or(80, |size| usize::from(size.ws_col)).clamp(40, 100)
}

/// Shows texts in columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) paint: Paint,
    pub(super) columns: usize,
}

impl Screen {
    pub(super) fn of_terminal() -> Self {
        Self { paint: Paint::for_stdout(), columns: columns() }
    }

    /// A whole report.
    pub(super) fn report(self, report: &Report) -> String {
        let mut out = String::new();
        for finding in &report.findings {
            self.finding(&mut out, finding);
            out.push('\n');
        }
        self.seen(&mut out, "looked at", &report.looked_at);
        self.seen(&mut out, "not seen", &report.unseen);
        if !report.looked_at.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "{}", self.summary(report));
        out
    }

    fn summary(self, report: &Report) -> String {
        let count = |severity, one, many| {
            let count = report.count(severity);
            (count > 0).then(|| plural(count, one, many))
        };
        let counts = [
            count(Severity::Error, "error", "errors"),
            count(Severity::Warning, "warning", "warnings"),
            count(Severity::Note, "note", "notes"),
        ];
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        let worst = report.findings.first().map(|finding| finding.severity);
        match worst {
            None => self.paint.text(Ink::Good, "nothing is wrong"),
            Some(Severity::Note) => {
                format!("{}; {}", self.paint.text(Ink::Good, "nothing is wrong"), counts.join(", "))
            }
            Some(Severity::Warning) => self.paint.text(Ink::Warn, counts.join(", ")),
            Some(Severity::Error) => self.paint.text(Ink::Bad, counts.join(", ")),
        }
    }

    /// What is wrong, where, why that hurts, and what to do.
    pub(super) fn finding(self, out: &mut String, finding: &Finding) {
        let ink = match finding.severity {
            Severity::Error => Ink::Bad,
            Severity::Warning => Ink::Warn,
            Severity::Note => Ink::Aside,
        };
        self.labelled(out, &finding.severity.to_string(), ink, &finding.what);
        self.labelled(out, "  where", Ink::Aside, &finding.place);
        self.labelled(out, "  why", Ink::Aside, &finding.why);
        self.fix(out, &finding.fix);
    }

    /// What a line of a log means.
    pub(super) fn explanation(self, out: &mut String, explanation: &Explanation) {
        self.labelled(out, "means", Ink::Good, &explanation.what);
        if let Some(upstream) = &explanation.upstream {
            self.labelled(out, "  where", Ink::Aside, &upstream.to_string());
        }
        self.labelled(out, "  why", Ink::Aside, &explanation.why);
        self.fix(out, &explanation.fix);
    }

    /// The line to copy is never broken; what is said beside it goes below where there is no room.
    fn fix(self, out: &mut String, fix: &str) {
        let label = self.paint.text(Ink::Aside, format!("{:LABEL$}", "  fix"));
        match fix.split_once("   # ") {
            Some((line, remark)) if LABEL + fix.chars().count() > self.columns => {
                let _ = writeln!(out, "{label}{line}");
                for line in wrap(remark, self.columns - LABEL - 2) {
                    let _ =
                        writeln!(out, "{:LABEL$}{}", "", self.paint.text(Ink::Aside, format!("# {line}")));
                }
            }
            _ => _ = writeln!(out, "{label}{fix}"),
        }
    }

    fn labelled(self, out: &mut String, label: &str, ink: Ink, text: &str) {
        if text.is_empty() {
            return;
        }
        let label = self.paint.text(ink, format!("{label:LABEL$}"));
        for (number, line) in wrap(text, self.columns - LABEL).iter().enumerate() {
            let label = if number == 0 { &*label } else { &" ".repeat(LABEL) };
            let _ = writeln!(out, "{label}{line}");
        }
    }

    fn seen(self, out: &mut String, label: &str, lines: &[(crate::doctor::Subject, String)]) {
        const SUBJECT: usize = 15;
        const INDENT: usize = 11;
        for (number, (subject, text)) in lines.iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            let wrapped = wrap(text, self.columns.saturating_sub(INDENT + SUBJECT).max(20));
            for (number, line) in wrapped.iter().enumerate() {
                let (label, subject) = if number == 0 { (label, subject.name()) } else { ("", "") };
                let head = self.paint.text(Ink::Aside, format!("{label:INDENT$}{subject:SUBJECT$}"));
                let _ = writeln!(out, "{head}{line}");
            }
        }
    }
}

/// Breaks between words; a word that is too long stays whole.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one from the start");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= columns {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A report for programs.
pub(super) fn json(report: &Report) -> Value {
    let seen = |lines: &[(crate::doctor::Subject, String)]| -> Vec<Value> {
        lines.iter().map(|(subject, text)| json!({ "subject": subject.name(), "text": text })).collect()
    };
    json!({
        "findings": report.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "looked_at": seen(&report.looked_at),
        "not_seen": seen(&report.unseen),
    })
}

/// A finding for programs.
pub(super) fn finding_json(finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.to_string(),
        "subject": finding.subject.name(),
        "name": finding.name,
        "what": finding.what,
        "where": finding.place,
        "why": finding.why,
        "fix": finding.fix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_the_terminal_and_a_fix_is_one() {
        let long = "word ".repeat(60);
        let finding = crate::doctor::Subject::Socket
            .error("x", long.clone())
            .at(long.clone())
            .why(long.clone())
            .fix(long.trim());
        let mut out = String::new();
        let screen = Screen { paint: Paint::plain(), columns: 80 };
        screen.finding(&mut out, &finding);
        let fixes: Vec<&str> = out.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(fixes, [format!("  fix    {}", long.trim())]);
        let mut out = String::new();
        screen.fix(&mut out, &format!("run this   # {long}"));
        assert!(out.starts_with("  fix    run this\n         # word word"), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
        out.clear();
        screen.fix(&mut out, "run this   # or not");
        assert_eq!(out, "  fix    run this   # or not\n");
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("a verylongword b", 4), ["a", "verylongword", "b"]);
    }
}
