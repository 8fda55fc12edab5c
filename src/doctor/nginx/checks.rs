//! nginx's configuration against predictd's: what each place that passes requests to predictd has wrong.

use super::{
    group,
    passes::{Endpoint, Module, Pass, passes},
    tree::Directive,
    units,
};
use crate::doctor::{
    Finding, Subject,
    asked::{Asked, bytes, seconds},
};
use predictd_protocol::gateway::detect::Wire;
use std::time::Duration;

pub(super) const NGINX: Subject = Subject::Nginx;

/// nginx's own defaults: `ngx_http_core_module`, `ngx_http_uwsgi_module`.
const BODY: u64 = 1 << 20;
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that is wrong.
#[must_use]
pub fn findings(tree: &[Directive], asked: &Asked) -> Vec<Finding> {
    let all = passes(tree);
    let (ours, others): (Vec<_>, Vec<_>) = all.iter().partition(|pass| pass.leads_to(&asked.listen));
    let mut found = Vec::new();
    if ours.is_empty() {
        found.extend(nobody_passes(&others, asked));
    }
    let workers = group::workers(tree, asked);
    for pass in ours {
        found.extend(speaks(pass, asked));
        if pass.module.wire().is_none() {
            continue;
        }
        found.extend(variables(pass));
        found.extend(prefix(pass));
        found.extend(body_size(pass, asked));
        found.extend(read_timeout(pass, asked));
        found.extend(group::next_upstream(pass));
        found.extend(group::kept(pass, asked, workers));
        found.extend(client_abort(pass));
        found.extend(buffering(pass));
        found.extend(error_pages(pass));
        found.extend(compression(pass));
    }
    found.extend(others.iter().filter_map(|pass| httpoxy(pass)));
    found
}

fn nobody_passes(others: &[&Pass<'_>], asked: &Asked) -> Option<Finding> {
    // It may well be where one of them passes to.
    if asked.unplaced().next().is_some() {
        return None;
    }
    let address = asked.listen.first()?;
    let directive = asked.wire().directive();
    let mut targets: Vec<String> = others
        .iter()
        .flat_map(|pass| pass.endpoints.iter().map(move |to| format!("{to} ({})", pass.directive.place)))
        .collect();
    targets.dedup();
    let where_to =
        if targets.is_empty() { "it passes requests to nobody".into() } else { targets.join(", ") };
    // A variable may well lead here.
    let variable =
        others.iter().any(|pass| pass.endpoints.iter().any(|to| matches!(to, Endpoint::Variable(_))));
    let what = format!("no location of nginx passes to {address}");
    let found = if variable { NGINX.note("no-pass", what) } else { NGINX.error("no-pass", what) };
    Some(
        found
            .at(where_to)
            .why("predictd gets no requests from this nginx.")
            .fix(format!("{directive} {address};   # the whole block: predictd nginx")),
    )
}

/// Whether predictd understands what nginx says.
fn speaks(pass: &Pass<'_>, asked: &Asked) -> Option<Finding> {
    let address = asked.listen.iter().find(|address| pass.leads_to(std::slice::from_ref(address)))?;
    let right = asked.wire().directive();
    let (name, place) = (&pass.directive.name, &pass.directive.place);
    let fix = format!("{right} {};", target(right, pass, &address.to_string()));
    if let Some(scheme @ ("https" | "suwsgi" | "grpcs")) = pass.scheme {
        return Some(
            NGINX
                .error("tls", format!("{name} speaks TLS ({scheme}://) to predictd, which does not"))
                .at(place)
                .why("Each request becomes 502; predictd's log says: the peer speaks TLS.")
                .fix(fix),
        );
    }
    match (pass.module, pass.module.wire()) {
        (Module::Stream, _) => {
            let on = pass.scope.on("proxy_protocol")?;
            Some(
                NGINX
                    .error("proxy-protocol", "nginx's stream sends a PROXY protocol header to predictd")
                    .at(&on.place)
                    .why("predictd closes such connections: it knows uwsgi, FastCGI and HTTP.")
                    .fix("proxy_protocol off;"),
            )
        }
        (_, None) => Some(
            NGINX
                .error("wrong-pass", format!("{name} leads to predictd, which does not speak that"))
                .at(place)
                .why("Each request becomes 502.")
                .fix(fix),
        ),
        (_, Some(wire)) if !asked.wires.contains(wire) => {
            let wires: Vec<&str> = asked.wires.iter().map(Wire::name).collect();
            Some(
                NGINX
                    .error(
                        "wrong-pass",
                        format!("{name} speaks {wire}, and predictd takes only {}", wires.join(", ")),
                    )
                    .at(place)
                    .why(
                        "Each request becomes 502 or 400: `wires` of predictd's configuration leaves it out.",
                    )
                    .fix(fix),
            )
        }
        _ => None,
    }
}

/// What stands after the directive: the same group or address as before.
fn target(directive: &str, pass: &Pass<'_>, address: &str) -> String {
    let to = pass.upstream.and(pass.directive.arg(0)).map_or(address, |target| {
        target.split_once("://").map_or(target, |(_, rest)| rest).trim_end_matches('/')
    });
    if directive == "proxy_pass" { format!("http://{to}") } else { to.to_owned() }
}

/// Without its variables a request has neither method nor path.
fn variables(pass: &Pass<'_>) -> Option<Finding> {
    if pass.module == Module::Proxy {
        return None;
    }
    let param = pass.name("param");
    let params = pass.scope.all(&param);
    let has = |name: &str| params.iter().any(|param| param.arg(0) == Some(name));
    let missing = ["REQUEST_METHOD", "REQUEST_URI", "CONTENT_LENGTH"].into_iter().find(|name| !has(name))?;
    let include = format!("include {param}s;");
    let hidden = !params.is_empty();
    let why = if hidden {
        format!(
            "A {param} in a block hides all of the blocks around it, so that the include outside has no effect here."
        )
    } else {
        "Each request becomes 400: it has no method and no path.".to_owned()
    };
    let place = params.first().filter(|_| hidden).map_or(&pass.directive.place, |param| &param.place);
    Some(
        NGINX
            .error("no-variables", format!("{} passes requests without {missing}", pass.directive.name))
            .at(place)
            .why(why)
            .fix(include),
    )
}

/// Where predictd's own paths begin.
const PATHS: [&str; 4] = ["/predict", "/v1", "/v2", "/openapi.json"];

/// A location whose path stays in front of predictd's own.
fn prefix(pass: &Pass<'_>) -> Option<Finding> {
    let location = pass.location?;
    let path = match &location.args[..] {
        [path] => path,
        [modifier, path] if modifier == "^~" || modifier == "=" => path,
        _ => return None,
    };
    let bare = path.trim_end_matches('/');
    let known = bare.is_empty() || PATHS.iter().any(|own| bare.starts_with(own));
    // Its path is another by then.
    let changed = pass.has_uri
        || path.starts_with('@')
        || pass.scope.anywhere("rewrite").is_some()
        || ["PATH_INFO", "SCRIPT_NAME"].iter().any(|name| {
            pass.scope.all(&pass.name("param")).iter().any(|param| {
                param.arg(0) == Some(name)
                    && !param
                        .arg(1)
                        .is_some_and(|value| value.contains("uri") || value.contains("script_name"))
            })
        });
    if known || changed {
        return None;
    }
    Some(
        NGINX
            .warning("prefix", format!("requests reach predictd with {path} in front of their path"))
            .at(&location.place)
            .why(format!("predictd knows {}; others are 404.", PATHS.join(", ")))
            .fix(format!("rewrite ^{bare}(/.*)$ $1 break;")),
    )
}

fn body_size(pass: &Pass<'_>, asked: &Asked) -> Option<Finding> {
    let directive = pass.scope.last("client_max_body_size");
    let size = match directive {
        Some(directive) => units::size(directive.arg(0)?)?,
        None => BODY,
    };
    let place = directive.map_or(&pass.directive.place, |directive| &directive.place);
    let fix = format!("client_max_body_size {};", units::write_size(asked.body));
    let limit = bytes(asked.body);
    if size != 0 && size < asked.body {
        let unset = if directive.is_none() { ", its default" } else { "" };
        let what = format!("nginx takes bodies of up to {}{unset}; predictd's limit is {limit}", bytes(size));
        return Some(
            NGINX
                .warning("body-size", what)
                .at(place)
                .why("What lies between gets 413 from nginx, and nothing is in predictd's log.")
                .fix(fix),
        );
    }
    if size == 0 || size > asked.body {
        let up_to = if size == 0 { "any size".into() } else { format!("up to {}", bytes(size)) };
        return Some(
            NGINX
                .note("body-size", format!("nginx takes bodies of {up_to}; predictd's limit is {limit}"))
                .at(place)
                .why("nginx takes the whole body in, often to disk, for predictd to refuse it by 413.")
                .fix(fix),
        );
    }
    None
}

fn read_timeout(pass: &Pass<'_>, asked: &Asked) -> Option<Finding> {
    let directive = pass.own("read_timeout");
    let time = match directive {
        Some(directive) => units::time(directive.arg(0)?)?,
        None => READ_TIMEOUT,
    };
    if time > asked.deadline.0 {
        return None;
    }
    let name = pass.name("read_timeout");
    let unset = if directive.is_none() { ", its default" } else { "" };
    Some(
        NGINX
            .warning(
                "read-timeout",
                format!("nginx waits {}{unset}; predictd may take {}", seconds(time), asked.deadline_text()),
            )
            .at(directive.map_or(&pass.directive.place, |directive| &directive.place))
            .why("nginx gives up first: its 504 does not say which model was slow, and the run is cancelled.")
            .fix(format!("{name} {};", seconds(asked.read_timeout()))),
    )
}

fn client_abort(pass: &Pass<'_>) -> Option<Finding> {
    let name = pass.name("ignore_client_abort");
    let on = pass.scope.on(&name)?;
    Some(
        NGINX
            .warning("client-abort", "nginx does not tell predictd that a client has gone")
            .at(&on.place)
            .why(
                "Runs that nobody waits for go on, and the clients' sockets stay in CLOSE_WAIT until an answer \
                 or the read timeout.",
            )
            .fix(format!("{name} off;")),
    )
}

fn buffering(pass: &Pass<'_>) -> Option<Finding> {
    let off = |rest: &str| pass.own(rest).filter(|directive| directive.arg(0) == Some("off"));
    let (directive, why) = if let Some(directive) = off("request_buffering") {
        (
            directive,
            "A slow upload holds a connection and memory of predictd, and cannot be tried on another server.",
        )
    } else {
        (off("buffering")?, "A slow client holds a connection of predictd until it has read the answer.")
    };
    let name = directive.name.clone();
    Some(
        NGINX
            .note("buffering", format!("{name} is off"))
            .at(&directive.place)
            .why(why)
            .fix(format!("{name} on;")),
    )
}

/// What nginx says itself should be as predictd's clients read it.
fn error_pages(pass: &Pass<'_>) -> Option<Finding> {
    let pages = pass.scope.all("error_page");
    let has = |status: &str| pages.iter().any(|page| page.args.iter().any(|arg| arg == status));
    let missing: Vec<&str> = ["413", "500", "502", "504"].into_iter().filter(|status| !has(status)).collect();
    if missing.is_empty() {
        return None;
    }
    Some(
        NGINX
            .note("error-pages", format!("nginx answers {} with HTML", missing.join(", ")))
            .at(&pass.directive.place)
            .why("Clients that wait for JSON fail on it: tritonclient says it cannot decode the response.")
            .fix("predictd nginx   # its error_page lines and their locations"),
    )
}

/// predictd compresses itself, for whom it may.
fn compression(pass: &Pass<'_>) -> Option<Finding> {
    let on = pass.scope.on("gzip")?;
    let types = pass.scope.all("gzip_types");
    let json = types.iter().flat_map(|types| &types.args).any(|one| one == "application/json" || one == "*");
    json.then(|| {
        NGINX
            .note("gzip", "nginx compresses predictd's JSON")
            .at(&on.place)
            .why("NVIDIA's asynchronous client says that it takes gzip, and cannot read metadata and errors in it.")
            .fix("gzip off;   # in the location; predictd compresses tensors itself")
    })
}

/// Others behind the same nginx get `Proxy:` of a client as `HTTP_PROXY`; predictd drops it.
fn httpoxy(pass: &Pass<'_>) -> Option<Finding> {
    if !matches!(pass.module, Module::Uwsgi | Module::FastCgi | Module::Scgi) {
        return None;
    }
    let param = pass.name("param");
    if pass.scope.all(&param).iter().any(|param| param.arg(0) == Some("HTTP_PROXY")) {
        return None;
    }
    let to = pass.directive.arg(0).unwrap_or_default();
    Some(
        NGINX
            .note("httpoxy", format!("a client's Proxy header reaches {to} as HTTP_PROXY"))
            .at(&pass.directive.place)
            .why("predictd drops it; a program that trusts the variable calls others by the client's proxy.")
            .fix(format!("{param} HTTP_PROXY \"\";")),
    )
}
