//! nginx by every wire, with the configuration that we ship.

use super::{FrontEnd, Quirk, check, server};
use crate::harness::{Nginx, Pass};

/// It frames uwsgi by length alone, so that it has to know a chunked body's whatever it was told.
const HELD: &[Quirk] = &[Quirk::HoldsUploads];

fn by(pass: Pass, quirks: &'static [Quirk], more: &str) -> FrontEnd {
    let server = server();
    let nginx = Nginx::with(&server, pass, more);
    let port = nginx.url.rsplit(':').next().unwrap().parse().unwrap();
    FrontEnd { port, quirks, running: Box::new(nginx), server }
}

#[test]
fn uwsgi() {
    check(by(Pass::Uwsgi, HELD, ""));
}

#[test]
fn fastcgi() {
    check(by(Pass::FastCgi, HELD, ""));
}

#[test]
fn http() {
    check(by(Pass::Http, HELD, ""));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn uwsgi_unbuffered() {
    check(by(Pass::Uwsgi, &[], "uwsgi_request_buffering off; uwsgi_buffering off;"));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn fastcgi_unbuffered() {
    check(by(Pass::FastCgi, &[], "fastcgi_request_buffering off; fastcgi_buffering off;"));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn fastcgi_a_connection_each() {
    check(by(Pass::FastCgiOnce, HELD, ""));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn fastcgi_a_connection_each_unbuffered() {
    check(by(Pass::FastCgiOnce, &[], "fastcgi_request_buffering off; fastcgi_buffering off;"));
}

#[test]
#[ignore = "one of many, for `make test`"]
fn http_unbuffered() {
    check(by(Pass::Http, &[], "proxy_request_buffering off; proxy_buffering off;"));
}
