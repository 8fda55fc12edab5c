//! predictd as a library: the example's own route, behind uwsgi.

use crate::harness::{Process, Reply, ask_on, samples};
use std::{
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
};

/// `examples/handler.rs`, serving on a socket in `folder`.
fn handler(folder: &Path) -> (Process, impl Fn(&str) -> Reply) {
    let program = Path::new(env!("CARGO_BIN_EXE_predictd")).with_file_name("examples/handler");
    assert!(program.exists(), "{} is built by `cargo build --examples`", program.display());
    let socket = folder.join("handler.sock");
    let mut command = Command::new(program);
    command.arg(format!("unix:{}", socket.display())).stdin(Stdio::null());
    command.env("PREDICTD_MODELS", samples());
    let process = Process::start(command);
    process.wait_for_line("listening");
    let ask = move |target: &str| ask_on(UnixStream::connect(&socket).unwrap(), "GET", target, &[], b"");
    (process, ask)
}

#[test]
fn a_route_of_ones_own_asks_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, ask) = handler(folder.path());
    let species = |flower: [f32; 4]| {
        let [a, b, c, d] = flower;
        ask(&format!("/species?sepal_length={a}&sepal_width={b}&petal_length={c}&petal_width={d}")).ok()
    };
    assert_eq!(species([5.1, 3.5, 1.4, 0.2]), "setosa");
    assert_eq!(species([6.7, 3.0, 5.2, 2.3]), "virginica");
    // Its routes are its own: ours are there only if they are asked for.
    assert_eq!(ask("/v2/health/live").status, 404);
    assert_eq!(ask("/species?sepal_length=x").status, 400);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
