//! What a line of a log means: nginx's, predictd's own, or uWSGI's, from which many come here.
//!
//! Tables of texts that occur in such lines. The line is anybody's, and only read.

mod nginx_lines;
mod own_lines;
mod uwsgi_lines;

use super::nginx::Endpoint;

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// All of these occur in it.
    pub has: &'static [&'static str],
    /// What happened.
    pub what: &'static str,
    /// How that comes about, and what it does.
    pub why: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// What is to be said of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What happened.
    pub what: String,
    /// How that comes about.
    pub why: String,
    /// What to do.
    pub fix: String,
    /// Whom nginx talked to, if the line says.
    pub upstream: Option<Endpoint>,
}

/// Explains a line, if it is a known one.
#[must_use]
pub fn explain(line: &str) -> Option<Explanation> {
    let upstream = upstream(line);
    if let Some((what, why, fix)) = uwsgi_lines::block_size(line) {
        return Some(Explanation { what, why, fix, upstream });
    }
    let fits = |row: &&Row| row.has.iter().all(|text| line.contains(text));
    let row = rows().find(fits)?;
    let fix = upstream
        .as_ref()
        .map_or_else(|| row.fix.to_owned(), |to| row.fix.replace("ADDRESS", &to.to_string()));
    Some(Explanation { what: row.what.into(), why: row.why.into(), fix, upstream })
}

/// All tables, what is particular before what is general.
fn rows() -> impl Iterator<Item = &'static Row> {
    nginx_lines::ROWS.iter().chain(own_lines::ROWS).chain(uwsgi_lines::ROWS)
}

/// `upstream: "uwsgi://unix:/run/p.sock:"`, or `connect() to unix:/run/p.sock failed`.
fn upstream(line: &str) -> Option<Endpoint> {
    let between = |before: &str, after: &str| {
        let from = line.find(before)? + before.len();
        let length = line[from..].find(after)?;
        Some(&line[from..from + length])
    };
    let text = between("upstream: \"", "\"").or_else(|| between("connect() to ", " failed"))?;
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let place = if text.starts_with("unix:") { text } else { text.split('/').next().unwrap_or_default() };
    (!place.is_empty()).then(|| Endpoint::parse(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_row_is_found_by_its_own_texts() {
        for row in rows() {
            let line = row.has.join(" ... ");
            let found = explain(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(found.what, row.what, "an earlier row takes: {line}");
            for text in [row.what, row.why, row.fix] {
                assert!(!text.is_empty(), "{line}");
            }
        }
    }

    #[test]
    fn the_upstream_is_named() {
        for (line, expected) in [
            ("x, upstream: \"uwsgi://unix:/run/p.sock:\", host: \"h\"", Some("unix:/run/p.sock")),
            ("x, upstream: \"http://unix:/run/p.sock:/v2/health\", host", Some("unix:/run/p.sock")),
            ("x, upstream: \"http://127.0.0.1:8090/v2\", host", Some("127.0.0.1:8090")),
            ("x, upstream: \"fastcgi://[::1]:8090\"", Some("[::1]:8090")),
            ("connect() to unix:/run/p.sock failed (2: No such", Some("unix:/run/p.sock")),
            ("no live upstreams, upstream: \"uwsgi://predictd\"", Some("predictd:80")),
            ("upstream: \"", None),
            ("", None),
        ] {
            assert_eq!(upstream(line).map(|to| to.to_string()).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn the_lines_that_everybody_knows_are_explained() {
        let check = |line: &str, part: &str| {
            let found = explain(line).unwrap_or_else(|| panic!("{line}"));
            assert!(found.what.contains(part), "{line}: {found:?}");
        };
        check("invalid request block size: 21573 (max 4096)...skip", "HTTP (GET)");
        check("invalid request block size: 21327 (max 4096)...skip", "HTTP (POST)");
        check("invalid request block size: 259 (max 4096)...skip", "TLS");
        check("invalid request block size: 5120 (max 4096)...skip", "larger than buffer-size");
        check(
            "2026/11/24 10:00:00 [crit] 7#7: *1 connect() to unix:/run/predictd/predictd.sock failed (13: Permission \
             denied) while connecting to upstream, client: 127.0.0.1, server: , request: \"GET / HTTP/1.1\", upstream: \
             \"uwsgi://unix:/run/predictd/predictd.sock:\", host: \"x\"",
            "may not connect",
        );
        check("WARN turned away: the peer speaks TLS; nginx terminates TLS, and", "TLS");
        assert_eq!(explain("2026/11/24 [notice] 7#7: start worker process 8"), None);
        assert_eq!(explain(""), None);
    }

    /// Else a row is for a line that nobody writes any more.
    #[test]
    fn what_is_explained_of_our_own_log_stands_in_our_own_source() {
        fn texts(folder: &std::path::Path, all: &mut String) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    if !path.ends_with("doctor") {
                        texts(&path, all);
                    }
                } else {
                    *all += &std::fs::read_to_string(path).unwrap();
                }
            }
        }
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut all = String::new();
        texts(&root.join("src"), &mut all);
        texts(&root.join("protocol/src"), &mut all);
        let all = all.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ");
        // Fields and targets are written by the log itself.
        let of_log = ["status=", "fastcgi", "Too many open files"];
        let needles = own_lines::ROWS.iter().flat_map(|row| row.has).filter(|text| !of_log.contains(text));
        let lost: Vec<_> = needles.filter(|text| !all.contains(**text)).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }

    proptest! {
        #[test]
        fn any_line_is_explained_or_not(line in "\\PC{0,300}") {
            let _ = explain(&line);
        }

        #[test]
        fn any_line_around_a_known_text_is_explained(before in "\\PC{0,40}", after in "\\PC{0,40}", number in 0usize..20) {
            let row = rows().nth(number).expect("there are more");
            let line = format!("{before}{}{after}", row.has.join(&after));
            prop_assert!(explain(&line).is_some());
        }
    }
}
