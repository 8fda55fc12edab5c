//! uWSGI's own lines, which its users meet on the way here.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        has: &["uWSGI listen queue of socket", "full"],
        what: "uWSGI's queue of connections is full",
        why: "All of its workers are busy or hang: a model that was loaded before the fork hangs in every one of them.",
        fix: "predictd serve --models models   # and call it from the web process instead",
    },
    Row {
        has: &["HARAKIRI"],
        what: "uWSGI has killed a worker that was over harakiri",
        why: "A run of a model in a forked web process waits for threads that the fork did not copy, for ever.",
        fix: "predictd serve --models models   # and call it from the web process instead",
    },
    Row {
        has: &["no python application found"],
        what: "uWSGI could not load the site",
        why: "The traceback is above it in uWSGI's log. It is not about predictd.",
        fix: "uwsgi --need-app ...   # so that it does not start without",
    },
    Row {
        has: &["SIGPIPE: writing to a closed pipe/socket/fd"],
        what: "uWSGI's client did not wait for the answer",
        why: "nginx's read timeout passed, or the browser went away, while the worker was busy.",
        fix: "uwsgi_read_timeout 60s;   # above what a page may take",
    },
];

/// `invalid request block size: 21573 (max 4096)...skip`: the number is two bytes of something else.
pub(super) fn block_size(line: &str) -> Option<(String, String, String)> {
    let rest = line.split_once("invalid request block size: ")?.1;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let number: u16 = rest[..digits].parse().ok()?;
    let speaks = |what: &str| {
        Some((
            format!("the client speaks {what} to a uwsgi socket"),
            format!(
                "The bytes {:?} were taken for a length of {number}. uWSGI closes, and nginx says 502; predictd would \
                 have understood HTTP, and named TLS.",
                String::from_utf8_lossy(&number.to_le_bytes())
            ),
            "uwsgi_pass ADDRESS;   # instead of proxy_pass; or uWSGI's http-socket"
                .replace("ADDRESS", "predictd"),
        ))
    };
    match number.to_le_bytes() {
        [b'E', b'T'] => speaks("HTTP (GET)"),
        [b'O', b'S'] => speaks("HTTP (POST)"),
        [b'E', b'A'] => speaks("HTTP (HEAD)"),
        [b'U', b'T'] => speaks("HTTP (PUT)"),
        [b'P', b'T'] => speaks("HTTP (OPTIONS)"),
        [b'A', b'T'] => speaks("HTTP (PATCH)"),
        [b'E', b'L'] => speaks("HTTP (DELETE)"),
        [3, 0..=4] => speaks("TLS"),
        _ => Some((
            "the headers of the request are larger than buffer-size".into(),
            format!(
                "They have {number} bytes, often cookies; uWSGI takes 4096 unless told otherwise, predictd 64 KiB."
            ),
            "buffer-size = 65535   # in uWSGI's configuration".into(),
        )),
    }
}
