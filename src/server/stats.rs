//! The statistics that the uwsgi_stats socket gives, made where nobody waits for them.

use crate::{
    api::App,
    os::process,
    telemetry::uwsgi_stats::{self, Process},
};
use std::env;

/// How the server stands now, as uWSGI writes it.
pub(super) async fn document(app: App) -> Vec<u8> {
    let snapshot = app.snapshot().await;
    let make = move || {
        let (uid, gid) = process::owner();
        // A folder that is gone has no name any more.
        let cwd = env::current_dir().map(|path| path.display().to_string()).unwrap_or_default();
        uwsgi_stats::document(&snapshot, &Process { uid, gid, cwd })
    };
    tokio::task::spawn_blocking(make).await.unwrap_or_default()
}
