//! What is wrong with a set-up, and what to do: facts in, findings out.
//!
//! A file per subject. Each has a function of plain facts, which tests call without a machine, and where the facts do not
//! come from elsewhere one that looks them up. Nothing here needs root; what could not be seen is said.

pub mod access;
pub mod asked;
mod elf;
pub mod explain;
pub mod identity;
pub mod nginx;
pub mod onnxruntime;
pub mod server;
pub mod socket;
pub mod system;

use std::fmt;

/// What a finding is about. In the order in which a request meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// predictd's own configuration.
    Configuration,
    /// nginx's configuration.
    Nginx,
    /// The way from nginx to the server.
    Socket,
    /// A server that runs.
    Server,
    /// The models.
    Models,
    /// ONNX Runtime's library.
    OnnxRuntime,
    /// Limits that Linux sets.
    System,
}

impl Subject {
    /// In output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Nginx => "nginx",
            Self::Socket => "socket",
            Self::Server => "server",
            Self::Models => "models",
            Self::OnnxRuntime => "onnxruntime",
            Self::System => "system",
        }
    }

    /// Whether it is wrong by what somebody wrote, rather than by what is not there or does not answer.
    #[must_use]
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Configuration | Self::Nginx | Self::Models | Self::System)
    }

    /// Requests fail.
    pub fn error(self, name: &'static str, what: impl Into<String>) -> Finding {
        Finding::of(self, Severity::Error, name, what.into())
    }

    /// Requests will fail, some day or under load.
    pub fn warning(self, name: &'static str, what: impl Into<String>) -> Finding {
        Finding::of(self, Severity::Warning, name, what.into())
    }

    /// Nothing is wrong, and something could be better.
    pub fn note(self, name: &'static str, what: impl Into<String>) -> Finding {
        Finding::of(self, Severity::Note, name, what.into())
    }
}

/// How bad it is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Requests fail now.
    Error,
    /// They will.
    Warning,
    /// They will not.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// About what.
    pub subject: Subject,
    /// What tools know it by; with the subject's name it is the only one.
    pub name: &'static str,
    /// What is wrong, in one line.
    pub what: String,
    /// A file and line, a path, an address.
    pub place: String,
    /// What it does to requests.
    pub why: String,
    /// One line to run or to paste.
    pub fix: String,
}

impl Finding {
    fn of(subject: Subject, severity: Severity, name: &'static str, what: String) -> Self {
        Self { severity, subject, name, what, place: String::new(), why: String::new(), fix: String::new() }
    }

    /// Where it is.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { place: place.to_string(), ..self }
    }

    /// What it does.
    #[must_use]
    pub fn why(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// What to do.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: fix.into(), ..self }
    }
}

/// All that was found, looked at, and could not be looked at.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The worst first, once [sorted](Self::sort).
    pub findings: Vec<Finding>,
    /// In a line each.
    pub looked_at: Vec<(Subject, String)>,
    /// What could not be seen, and why.
    pub unseen: Vec<(Subject, String)>,
}

impl Report {
    /// Takes findings of a subject that was looked at.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// Says what was looked at.
    pub fn looked(&mut self, subject: Subject, at: impl Into<String>) {
        self.looked_at.push((subject, at.into()));
    }

    /// Says what could not be looked at.
    pub fn unseen(&mut self, subject: Subject, what: impl Into<String>) {
        self.unseen.push((subject, what.into()));
    }

    /// Puts the worst first, and what is found twice once.
    pub fn sort(&mut self) {
        self.findings.sort_by_key(|finding| (finding.severity, finding.subject));
        self.findings.dedup();
    }

    /// How many there are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Counts things in prose.
#[must_use]
pub fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
