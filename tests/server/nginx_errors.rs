//! What nginx says itself, where predictd is not asked or does not answer: by our configuration it has the form of
//! predictd's own errors.

use crate::harness::{Nginx, Pass, Server};
use serde_json::json;
use std::fs;

/// An error of nginx.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) status: u16,
    pub(crate) text: &'static str,
}

/// Has an nginx that passes by `pass` come to each of its errors, and `check` what a client is told.
pub(crate) fn each(pass: Pass, check: impl Fn(&Nginx, Own)) {
    let mut server = Server::start();
    let uploads = tempfile::tempdir().unwrap();
    let more = format!("client_body_temp_path {};", uploads.path().join("body").display());
    let nginx = Nginx::edited(&server, pass, &more, |shipped| {
        let patience = "_read_timeout    60s;";
        assert!(shipped.contains(patience), "{shipped}");
        shipped.replace(patience, "_read_timeout 1s;")
    });
    check(&nginx, Own { status: 413, text: "the body is over the limit of client_max_body_size, 64 MiB" });
    // A body that is too large for memory has nowhere to go.
    fs::remove_dir_all(uploads.path()).unwrap();
    check(
        &nginx,
        Own { status: 500, text: "nginx failed before predictd was asked: the error log of nginx says why" },
    );
    check(&nginx, Own { status: 504, text: "predictd did not answer in time" });
    server.process.signal("KILL");
    server.process.wait();
    check(&nginx, Own { status: 502, text: "predictd does not answer: the error log of nginx says why" });
}

/// Asks for it, as `tests/clients/triton_front_end.py` does by tritonclient.
fn check(nginx: &Nginx, own: Own) {
    let (model, body) = match own.status {
        413 => ("identity_float", vec![0; 65 << 20]),
        500 => ("identity_float", vec![0; 2 << 20]),
        504 => (
            "busy",
            json!({ "inputs": { "rounds": 2_000_000_000, "x": [vec![0.5; 256]] } }).to_string().into_bytes(),
        ),
        _ => ("iris", b"[[5.1, 3.5, 1.4, 0.2]]".to_vec()),
    };
    let headers = [("X-Request-Id", "mine")];
    let reply = nginx.ask("POST", &format!("/predict/{model}"), &headers, &body);
    assert_eq!(reply.error(own.status), own.text);
    assert_eq!(reply.header("x-request-id"), Some("mine"));
}

#[test]
fn what_nginx_says_itself_looks_like_predictds_own_errors() {
    for pass in [Pass::Uwsgi, Pass::FastCgi, Pass::Http] {
        each(pass, check);
    }
}
