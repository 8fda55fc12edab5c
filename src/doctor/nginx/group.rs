//! A group of servers behind nginx: who is asked again when one fails, and how connections to them are kept.

use super::{
    checks::NGINX,
    passes::{Module, Pass},
    tree::Directive,
    units,
};
use crate::doctor::{
    Finding,
    asked::{Asked, seconds},
};
use std::time::Duration;

/// nginx's own default: `ngx_http_upstream_module`.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// Tries of several servers: who is marked down, and who is asked again.
pub(super) fn next_upstream(pass: &Pass<'_>) -> Vec<Finding> {
    let several = pass.upstream.filter(|upstream| upstream.servers().count() > 1);
    let Some(upstream) = several else { return Vec::new() };
    let name = pass.name("next_upstream");
    let directive = pass.own("next_upstream");
    let has = |flag: &str| directive.is_some_and(|directive| directive.args.iter().any(|arg| arg == flag));
    let place = directive.map_or(&pass.directive.place, |directive| &directive.place);
    let fix = format!("{name} error timeout non_idempotent;");
    let mut found = Vec::new();
    let never_down = upstream.servers().all(|server| server.args.iter().any(|arg| arg == "max_fails=0"));
    if let Some(flag) = ["http_503", "http_429"].into_iter().find(|flag| has(flag))
        && !never_down
    {
        found.push(
            NGINX
                .warning("next-upstream-503", format!("{name} lists {flag}, and there are several servers"))
                .at(place)
                .why(
                    "An answer of 503, which only means a full queue, marks its server down for 10 s; when all \
                     are, nginx answers 502 to everybody: no live upstreams.",
                )
                .fix(fix.clone()),
        );
    }
    if !has("non_idempotent") && !has("off") {
        found.push(
            NGINX
                .note("next-upstream-post", "a POST is not tried on the next server when one fails")
                .at(place)
                .why("Predictions are POSTs, and may be asked for twice: they change nothing.")
                .fix(fix),
        );
    }
    found
}

/// `worker_processes`, each of which keeps connections of its own.
pub(super) fn workers(tree: &[Directive], asked: &Asked) -> u64 {
    let directive = tree.iter().rfind(|directive| directive.name == "worker_processes");
    match directive.and_then(|directive| directive.arg(0)) {
        None => 1,
        Some("auto") => asked.workers.max(1) as u64,
        Some(number) => number.parse().unwrap_or(1),
    }
}

/// Kept connections: enough of them, not too many, and not longer than predictd keeps them.
pub(super) fn kept(pass: &Pass<'_>, asked: &Asked, workers: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    let keepalive = pass.upstream.and_then(|upstream| upstream.directive("keepalive"));
    let count = keepalive.and_then(|keepalive| keepalive.arg(0)?.parse::<u64>().ok());
    if pass.module == Module::Uwsgi {
        found.extend(keepalive.map(|keepalive| {
            NGINX
                .note("keepalive-uwsgi", "keepalive has no effect on uwsgi_pass")
                .at(&keepalive.place)
                .why("The uwsgi protocol has a connection for each request; FastCGI and HTTP keep theirs.")
                .fix("predictd nginx --wire fastcgi")
        }));
        return found;
    }
    let kept_by_hand = match pass.module {
        Module::FastCgi => pass.scope.on("fastcgi_keep_conn").is_some(),
        _ => {
            let version = pass.own("http_version").and_then(|version| version.arg(0));
            let headers = pass.scope.all("proxy_set_header");
            let connection = headers
                .iter()
                .find(|header| header.arg(0).is_some_and(|name| name.eq_ignore_ascii_case("connection")));
            version == Some("1.1") && connection.is_some_and(|header| header.arg(1) == Some(""))
        }
    };
    let directives = match pass.module {
        Module::FastCgi => "fastcgi_keep_conn on;",
        _ => "proxy_http_version 1.1; proxy_set_header Connection \"\";",
    };
    let (Some(keepalive), Some(count)) = (keepalive, count) else {
        found.push(
            NGINX
                .note("keepalive", format!("{} makes a connection for each request", pass.directive.name))
                .at(&pass.directive.place)
                .why("Kept connections halve nginx's work; they need a group of servers with keepalive.")
                .fix(format!(
                    "keepalive {};   # in upstream {{ }}, with {directives}",
                    asked.concurrency().max(128)
                )),
        );
        return found;
    };
    if !kept_by_hand {
        found.push(
            NGINX
                .note("keepalive", format!("keepalive {count} has no effect on this {}", pass.directive.name))
                .at(&pass.directive.place)
                .why("nginx closes each connection after its request, unless it is told not to.")
                .fix(directives),
        );
        return found;
    }
    let concurrency = asked.concurrency() as u64;
    if count.saturating_mul(workers) < concurrency {
        found.push(
            NGINX
                .note(
                    "keepalive-few",
                    format!("nginx keeps {count} connections; {concurrency} requests can run at once"),
                )
                .at(&keepalive.place)
                .why("Those over the number open a connection each, and close it again.")
                .fix(format!("keepalive {};", concurrency.max(128))),
        );
    }
    if count.saturating_mul(workers) > asked.connections {
        let kept = count.saturating_mul(workers);
        found.push(
            NGINX
                .warning(
                    "keepalive-many",
                    format!("nginx may keep {kept} connections; predictd takes {}", asked.connections),
                )
                .at(&keepalive.place)
                .why("Idle connections of one worker can keep those of others waiting: limits.connections.")
                .fix(format!("keepalive {};", (asked.connections / workers / 2).max(1))),
        );
    }
    let timeout = pass.upstream.and_then(|upstream| upstream.directive("keepalive_timeout"));
    let time = timeout.map_or(Some(KEEPALIVE_TIMEOUT), |timeout| units::time(timeout.arg(0)?));
    if let Some(time) = time.filter(|time| *time >= asked.idle_timeout) {
        let idle = seconds(asked.idle_timeout);
        found.push(
            NGINX
                .warning(
                    "keepalive-timeout",
                    format!("nginx keeps idle connections {}, predictd only {idle}", seconds(time)),
                )
                .at(timeout.map_or(&keepalive.place, |timeout| &timeout.place))
                .why("nginx may send a request just when predictd closes: a 502 now and then, when it is quiet.")
                .fix(format!("keepalive_timeout {};", seconds(asked.idle_timeout * 4 / 5))),
        );
    }
    found
}
