//! NVIDIA's tritonclient, the blocking and the asynchronous one.

use super::{Reachable, Way, authority, run_script};
use crate::{
    deployment::Deployment,
    harness::{Pass, free_port, read},
    nginx_errors,
};

fn check(way: Way) {
    let reachable = Reachable::start(way);
    run_script("triton.py", &[&reachable.address]);
    reachable.server.process.wait_for_line("by-tritonclient");
}

#[test]
#[ignore = "needs scripts/setup.sh tritonclient"]
fn tritonclient_directly() {
    check(Way::Direct);
}

#[test]
#[ignore = "needs scripts/setup.sh tritonclient"]
fn tritonclient_by_uwsgi() {
    check(Way::By(Pass::Uwsgi));
}

#[test]
#[ignore = "needs scripts/setup.sh tritonclient"]
fn tritonclient_by_fastcgi() {
    check(Way::By(Pass::FastCgi));
}

#[test]
#[ignore = "needs scripts/setup.sh tritonclient"]
fn tritonclient_by_http() {
    check(Way::By(Pass::Http));
}

#[test]
#[ignore = "needs scripts/setup.sh tritonclient"]
fn tritonclient_loads_and_unloads_by_the_admin_address() {
    let address = format!("127.0.0.1:{}", free_port());
    let half = read("tests/data/models/half/model.onnx");
    let _deployment = Deployment::started("", &[("half/model.onnx", &half)], |command| {
        command.args(["--admin", &address]);
    });
    run_script("triton_admin.py", &[&address]);
}

/// What nginx says where predictd does not.
fn check_errors(pass: Pass) {
    nginx_errors::each(pass, |nginx, own| {
        run_script("triton_front_end.py", &[authority(nginx), &own.status.to_string(), own.text]);
    });
}

#[test]
#[ignore = "needs scripts/setup.sh tritonclient"]
fn tritonclient_reads_the_errors_of_nginx_by_uwsgi() {
    check_errors(Pass::Uwsgi);
}

#[test]
#[ignore = "needs scripts/setup.sh tritonclient"]
fn tritonclient_reads_the_errors_of_nginx_by_fastcgi() {
    check_errors(Pass::FastCgi);
}

#[test]
#[ignore = "needs scripts/setup.sh tritonclient"]
fn tritonclient_reads_the_errors_of_nginx_by_http() {
    check_errors(Pass::Http);
}
