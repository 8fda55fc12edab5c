//! Plain HTTP, as clients of TensorFlow Serving and KServe ask.

use super::{Reachable, Way, run_script};
use crate::harness::Pass;

fn check(way: Way) {
    let reachable = Reachable::start(way);
    run_script("v1.py", &[&reachable.address]);
}

#[test]
#[ignore = "one of the real clients, for `make test`"]
fn tensorflow_serving_and_kserve_by_uwsgi() {
    check(Way::By(Pass::Uwsgi));
}

#[test]
#[ignore = "one of the real clients, for `make test`"]
fn tensorflow_serving_and_kserve_by_fastcgi() {
    check(Way::By(Pass::FastCgi));
}

#[test]
#[ignore = "one of the real clients, for `make test`"]
fn tensorflow_serving_and_kserve_by_http() {
    check(Way::By(Pass::Http));
}
