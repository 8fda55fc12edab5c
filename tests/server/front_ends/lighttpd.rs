//! lighttpd: mod_fastcgi, and mod_scgi speaking uwsgi.

use super::{FrontEnd, Quirk, check};
use crate::harness::program;
use std::{fs, process::Command};

fn lighttpd(quirks: &'static [Quirk], pass: &str, more: &str) -> FrontEnd {
    FrontEnd::start(quirks, |folder, server, port| {
        // Without `fix-root-scriptname`, the first part of the path is taken for a script's name.
        let config = format!(
            r#"server.document-root = "{folder}"
            server.bind = "127.0.0.1"
            server.port = {port}
            server.upload-dirs = ("{folder}")
            server.modules = ("mod_fastcgi", "mod_scgi")
            {more}
            {pass} = ("/" => ((
                "socket" => "{}",
                "check-local" => "disable",
                "fix-root-scriptname" => "enable",
            )))"#,
            server.socket().display(),
            folder = folder.display(),
        );
        fs::write(folder.join("lighttpd.conf"), config).unwrap();
        let mut command = Command::new(program("lighttpd"));
        command.arg("-D").arg("-f").arg(folder.join("lighttpd.conf"));
        command
    })
}

#[test]
#[ignore = "one of many, for `make test`"]
fn fastcgi() {
    check(lighttpd(&[Quirk::HoldsUploads, Quirk::DeafWhileWaiting], "fastcgi.server", ""));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn fastcgi_unbuffered() {
    let streams = "server.stream-request-body = 2\nserver.stream-response-body = 2";
    // It passes nothing on without a CONTENT_LENGTH, and knows that of what comes at once.
    let quirks = &[Quirk::RefusesChunked { longer_than: 64 * 1024, status: 411 }, Quirk::DeafWhileWaiting];
    check(lighttpd(quirks, "fastcgi.server", streams));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn uwsgi() {
    let quirks = &[Quirk::HoldsUploads, Quirk::DeafWhileWaiting];
    check(lighttpd(quirks, "scgi.server", r#"scgi.protocol = "uwsgi""#));
}
