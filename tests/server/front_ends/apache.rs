//! Apache: mod_proxy_uwsgi and mod_proxy_fcgi.

use super::{FrontEnd, Quirk, check};
use crate::harness::program;
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    process::Command,
};

/// Who runs Apache where root runs the tests: it does not serve as root.
const NOBODY: u32 = 65534;

const MODULES: &str = "/usr/lib/apache2/modules";

fn apache(quirks: &'static [Quirk], scheme: &str) -> FrontEnd {
    FrontEnd::start(quirks, |folder, server, port| {
        let config = format!(
            "ServerRoot {folder}
            ServerName localhost
            DefaultRuntimeDir {folder}
            PidFile apache.pid
            ErrorLog error.log
            Listen 127.0.0.1:{port}
            LoadModule mpm_event_module {MODULES}/mod_mpm_event.so
            LoadModule authz_core_module {MODULES}/mod_authz_core.so
            LoadModule proxy_module {MODULES}/mod_proxy.so
            LoadModule proxy_{scheme}_module {MODULES}/mod_proxy_{scheme}.so
            ProxyPass / unix:{}|{scheme}://localhost/\n",
            server.socket().display(),
            folder = folder.display(),
        );
        fs::write(folder.join("apache.conf"), config).unwrap();
        let mut command = Command::new(program("apache2"));
        // In the foreground, and one process.
        command.arg("-X").arg("-f").arg(folder.join("apache.conf"));
        if fs::metadata(folder).unwrap().uid() == 0 {
            chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
            fs::set_permissions(server.folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    })
}

#[test]
#[ignore = "one of many, for `make test`"]
fn uwsgi() {
    let quirks = &[
        Quirk::RefusesChunked { longer_than: 0, status: 411 },
        Quirk::RefusesEncodedSlash,
        Quirk::DeafWhileWaiting,
        Quirk::ReadsAfterUpload,
    ];
    check(apache(quirks, "uwsgi"));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn fastcgi() {
    let quirks =
        &[Quirk::DropsLength, Quirk::RefusesEncodedSlash, Quirk::DeafWhileWaiting, Quirk::ReadsAfterUpload];
    check(apache(quirks, "fcgi"));
}
