//! A fixture of nginx's configuration for each finding, and the healthy ones that have none.

use super::*;
use crate::doctor::asked::Asked;
use predictd_protocol::gateway::detect::Wire;
use std::{path::Path, time::Duration};

const PARAMS: &str = "uwsgi_param REQUEST_METHOD $request_method; uwsgi_param REQUEST_URI $request_uri; \
                      uwsgi_param CONTENT_LENGTH $content_length;";
const PAGES: &str = "error_page 413 @a; error_page 500 502 504 @b;";
const GOOD: &str = "client_max_body_size 64m;";
const SOCKET: &str = "unix:/run/predictd/predictd.sock";

fn tree(text: &str) -> Vec<Directive> {
    read(&Files::Dump([("/x".into(), text.to_owned())].into()), Path::new("/x")).unwrap()
}

/// Names of the findings, with the line of each.
fn found(text: &str, asked: &Asked) -> Vec<String> {
    findings(&tree(text), asked).iter().map(|one| format!("{} {}", one.severity, one.name)).collect()
}

#[track_caller]
fn check(location: &str, expected: &[&str]) {
    let text =
        format!("http {{ server {{ listen 80; {GOOD} {PAGES} {PARAMS} location / {{ {location} }} }} }}");
    assert_eq!(found(&text, &Asked::example()), expected, "{location}");
}

/// The same for a group of servers, with FastCGI or HTTP.
#[track_caller]
fn check_group(group: &str, location: &str, asked: &Asked, expected: &[&str]) {
    let text = format!(
        "http {{ upstream p {{ {group} }} server {{ {GOOD} {PAGES} fastcgi_param REQUEST_METHOD x; fastcgi_param \
         REQUEST_URI x; fastcgi_param CONTENT_LENGTH x; {PARAMS} location / {{ {location} }} }} }}"
    );
    assert_eq!(found(&text, asked), expected, "{group} {location}");
}

#[test]
fn a_location_is_held_against_the_configuration() {
    let pass = format!("uwsgi_pass {SOCKET};");
    let with = |more: &str| format!("{pass} {more}");
    check(&pass, &[]);
    check("uwsgi_pass unix:/run/other.sock;", &["error no-pass", "note httpoxy"]);
    check("proxy_pass http://other;", &["error no-pass"]);
    check("proxy_pass http://$where;", &["note no-pass"]);
    check("", &["error no-pass"]);
    check(&with("client_max_body_size 1m;"), &["warning body-size"]);
    check(&with("client_max_body_size 0;"), &["note body-size"]);
    check(&with("client_max_body_size 1g;"), &["note body-size"]);
    check(&with("uwsgi_read_timeout 30s;"), &["warning read-timeout"]);
    check(&with("uwsgi_read_timeout 31s;"), &[]);
    check(&with("uwsgi_ignore_client_abort on;"), &["warning client-abort"]);
    check(&with("uwsgi_request_buffering off;"), &["note buffering"]);
    check(&with("uwsgi_buffering off;"), &["note buffering"]);
    check(&with("error_page 502 /x.html;"), &["note error-pages"]);
    check(&with("gzip on; gzip_types application/json;"), &["note gzip"]);
    check(&with("gzip on;"), &[]);
    check(&with("uwsgi_param X y;"), &["error no-variables"]);
    check(&format!("scgi_pass {SOCKET};"), &["error wrong-pass"]);
    check(&format!("grpc_pass {SOCKET};"), &["error wrong-pass"]);
    check(&format!("proxy_pass https://{SOCKET};"), &["error tls", "note keepalive"]);
    check(&format!("uwsgi_pass suwsgi://{SOCKET};"), &["error tls"]);
}

#[test]
fn where_a_socket_of_systemd_is_has_to_be_known_before_it_can_be_missed() {
    let text =
        format!("http {{ {GOOD} {PAGES} {PARAMS} server {{ location / {{ uwsgi_pass {SOCKET}; }} }} }}");
    let named = Asked { listen: vec!["fd:predictd".parse().unwrap()], ..Asked::example() };
    assert_eq!(found(&text, &named), ["note httpoxy"]);
    let there = named.clone().placed(vec![SOCKET.parse().unwrap()]);
    assert_eq!((found(&text, &there), there.unplaced().count()), (vec![], 0));
    let elsewhere = named.clone().placed(vec!["127.0.0.1:8090".parse().unwrap()]);
    assert_eq!(found(&text, &elsewhere), ["error no-pass", "note httpoxy"]);
    assert_eq!(
        findings(&tree(&text), &elsewhere)[0].fix.split("; ").next(),
        Some("uwsgi_pass 127.0.0.1:8090")
    );
    // What is advised is an address of nginx, whichever comes first.
    let both = Asked { listen: [&named.listen[..], &Asked::example().listen].concat(), ..named };
    let secure = text.replace("uwsgi_pass ", "uwsgi_pass suwsgi://");
    assert_eq!(findings(&tree(&secure), &both)[0].fix, format!("uwsgi_pass {SOCKET};"));
}

#[test]
fn defaults_of_nginx_count_where_nothing_is_set() {
    let text = format!("http {{ {PARAMS} server {{ location / {{ uwsgi_pass {SOCKET}; }} }} }}");
    assert_eq!(found(&text, &Asked::example()), ["warning body-size", "note error-pages"]);
    let slow = Asked { deadline: (Duration::from_secs(60), Some("big".into())), ..Asked::example() };
    let finding = &findings(&tree(&text), &slow)[1];
    assert_eq!(finding.what, "nginx waits 60s, its default; predictd may take 60s of model 'big'");
    assert_eq!((&*finding.place, &*finding.fix), ("/x:1", "uwsgi_read_timeout 90s;"));
}

#[test]
fn wires_that_are_left_out_are_named_with_what_to_write() {
    let asked = Asked { wires: [Wire::Uwsgi].into_iter().collect(), ..Asked::example() };
    let text = format!("http {{ {GOOD} {PAGES} server {{ location / {{ proxy_pass http://{SOCKET}; }} }} }}");
    let finding = &findings(&tree(&text), &asked)[0];
    assert_eq!(finding.what, "proxy_pass speaks http, and predictd takes only uwsgi");
    assert_eq!(finding.fix, format!("uwsgi_pass {SOCKET};"));
}

#[test]
fn a_path_in_front_of_predictds_own_is_found_unless_it_is_taken_away() {
    let check = |location: &str, inside: &str, expected: &[&str]| {
        let text = format!(
            "http {{ {GOOD} {PAGES} {PARAMS} server {{ location {location} {{ uwsgi_pass {SOCKET}; {inside} }} }} }}"
        );
        assert_eq!(found(&text, &Asked::example()), expected, "{location} {inside}");
    };
    check("/ai/", "", &["warning prefix"]);
    check("^~ /ai/", "", &["warning prefix"]);
    check("/ai/", "rewrite ^/ai(/.*)$ $1 break;", &[]);
    check("/predict/", "", &[]);
    check("= /openapi.json", "", &[]);
    check("~ ^/ai/", "", &[]);
    check("@named", "", &[]);
    let text = format!(
        "http {{ {GOOD} {PAGES} upstream p {{ server {SOCKET}; keepalive 128; }} server {{ location /ai/ {{ \
         proxy_pass http://p/; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}"
    );
    assert_eq!(found(&text, &Asked::example()), [""; 0]);
}

#[test]
fn several_servers_have_traps_of_their_own() {
    let two = format!("server {SOCKET}; server 127.0.0.1:1;");
    let never = format!("server {SOCKET} max_fails=0; server 127.0.0.1:1 max_fails=0;");
    let one = format!("server {SOCKET};");
    let pass = |more: &str| format!("uwsgi_pass p; {more}");
    let asked = Asked::example();
    check_group(&two, &pass(""), &asked, &["note next-upstream-post"]);
    check_group(&two, &pass("uwsgi_next_upstream error timeout non_idempotent;"), &asked, &[]);
    check_group(
        &two,
        &pass("uwsgi_next_upstream error http_503 non_idempotent;"),
        &asked,
        &["warning next-upstream-503"],
    );
    check_group(&two, &pass("uwsgi_next_upstream off;"), &asked, &[]);
    check_group(&never, &pass("uwsgi_next_upstream error http_503 non_idempotent;"), &asked, &[]);
    check_group(&one, &pass("uwsgi_next_upstream error http_503;"), &asked, &[]);
}

#[test]
fn kept_connections_are_enough_not_too_many_and_not_too_old() {
    let group = |more: &str| format!("server {SOCKET}; {more}");
    let fastcgi = "fastcgi_pass p; fastcgi_keep_conn on;";
    let http = "proxy_pass http://p; proxy_http_version 1.1; proxy_set_header Connection \"\";";
    let asked = Asked::example();
    check_group(&group("keepalive 128;"), fastcgi, &asked, &[]);
    check_group(&group("keepalive 128;"), http, &asked, &[]);
    check_group(&group(""), fastcgi, &asked, &["note keepalive"]);
    check_group(&group("keepalive 128;"), "fastcgi_pass p;", &asked, &["note keepalive"]);
    check_group(&group("keepalive 128;"), "proxy_pass http://p;", &asked, &["note keepalive"]);
    check_group(&group("keepalive 128;"), "uwsgi_pass p;", &asked, &["note keepalive-uwsgi"]);
    check_group(&group("keepalive 8;"), fastcgi, &asked, &["note keepalive-few"]);
    check_group(&group("keepalive 9000;"), fastcgi, &asked, &["warning keepalive-many"]);
    check_group(
        &group("keepalive 128; keepalive_timeout 2m;"),
        fastcgi,
        &asked,
        &["warning keepalive-timeout"],
    );
    let short = Asked { idle_timeout: Duration::from_secs(60), ..asked };
    check_group(&group("keepalive 128;"), fastcgi, &short, &["warning keepalive-timeout"]);
}

#[test]
fn a_stream_is_looked_at_for_its_proxy_protocol() {
    let text = |more: &str| format!("stream {{ server {{ listen 9000; {more} proxy_pass {SOCKET}; }} }}");
    assert_eq!(found(&text("proxy_protocol on;"), &Asked::example()), ["error proxy-protocol"]);
    assert_eq!(found(&text(""), &Asked::example()), [""; 0]);
}

#[test]
fn others_beside_us_are_told_of_httpoxy() {
    let other = |more: &str| {
        format!(
            "http {{ {GOOD} {PAGES} {PARAMS} server {{ location / {{ uwsgi_pass {SOCKET}; }} location /site {{ {PARAMS} \
             uwsgi_pass unix:/run/django.sock; {more} }} }} }}"
        )
    };
    assert_eq!(found(&other(""), &Asked::example()), ["note httpoxy"]);
    assert_eq!(found(&other("uwsgi_param HTTP_PROXY \"\";"), &Asked::example()), [""; 0]);
}

#[test]
fn user_and_ports_are_read() {
    let text = "user www-data staff; http { server { listen 80; listen [::]:8080 default_server; listen unix:/x; } \
                server { listen 127.0.0.1; } server { } }";
    let tree = tree(text);
    assert_eq!(user(&tree), Some(("www-data", Some("staff"))));
    assert_eq!(ports(&tree), [80, 8080, 80, 80]);
    assert_eq!(user(&[]), None);
}
