//! A great many of something, and names without end: what is said of it is short, in the answer and in the log.

use super::{Case, SMALL, TEXT, check, check_all, input, lives, request};
use crate::{
    deployment::{Deployment, patient},
    harness::{Server, by_http, free_port},
    tiny::constant,
};
use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

const V2: &str = "/v2/models/identity_float/infer";
const V1: &str = "/v1/models/identity_float:predict";
const MANY: usize = 1_000_000;

#[test]
fn a_name_without_end_is_quoted_in_part() {
    let long = "n".repeat(1 << 20);
    let one = input("x", "FP32", "[1,1]", r#""data":[1]"#);
    let start = &long[..60];
    let cases = [
        Case::json(
            V2,
            request(&[input(&long, "FP32", "[1,1]", r#""data":[1]"#)]),
            &["has no input 'n", start, "it has 'x'"],
        ),
        Case::json(
            V2,
            request(&[input("x", &long, "[1,1]", r#""data":[1]"#)]),
            &["unknown datatype 'n", start],
        ),
        Case::json(
            V2,
            request(&[input(&long, "FP32", "[1,1]", r#""data":[true]"#)]),
            &["is not a value of FP32", start],
        ),
        Case::json(
            V2,
            format!(r#"{{"inputs":[{one}],"outputs":[{{"name":"{long}"}}]}}"#),
            &["has no output 'n", "it has 'y'"],
        ),
        Case::json(
            V2,
            format!(r#"{{"inputs":[{one}],"outputs":[{{"name":"{long}"}},{{"name":"{long}"}}]}}"#),
            &["output 'n", "is given twice"],
        ),
        Case::json(
            V2,
            format!(r#"{{"inputs":[{one}],"parameters":{{"timeout":"{long}"}}}}"#),
            &["timeout", "whole number"],
        ),
        Case::json(
            V2,
            request(&[input("x", "FP32", "[1,1]", &format!(r#""data":["{long}"]"#))]),
            &["a string is not a value of FP32"],
        ),
        Case::json(
            V2,
            request(&[input("x", "FP32", "[1,1]", &format!(r#""data":[{}]"#, "9".repeat(1 << 20)))]),
            &["is not a value of FP32"],
        ),
        Case::json(
            V2,
            request(&[input("x", "FP32", &format!("[1,{}]", "9".repeat(1 << 20)), r#""data":[1]"#)]),
            &["a dimension must be"],
        ),
        Case::json(
            "/predict/identity_float",
            format!(r#"{{"inputs":{{"{long}":[[1]]}}}}"#),
            &["has no input 'n", start, "it has 'x'"],
        ),
        Case::json(
            V1,
            format!(r#"{{"inputs":{{"{long}":[[1]]}}}}"#),
            &["has no input 'n", start, "it has 'x'"],
        ),
        Case::json(
            V1,
            format!(r#"{{"instances":[{{"{long}":[1]}}]}}"#),
            &["has no input 'n", start, "it has 'x'"],
        ),
        Case::json(
            "/predict/identity_float",
            format!(r#"{{"inputs":"{long}"}}"#),
            &["an object of lists by name"],
        ),
        Case::json("/predict/identity_float", format!(r#"{{"{long}":1}}"#), &["inputs"]),
    ];
    check_all(&cases, 64 << 20);
}

#[test]
fn a_path_without_end_is_quoted_in_part_in_the_answer_and_in_the_log() {
    let server = Server::start();
    let long = "n".repeat(50_000);
    let wide = "é".repeat(8_000);
    for name in [long.as_str(), wide.as_str()] {
        for (method, target, status) in [
            ("GET", format!("/v2/models/{name}"), 404),
            ("POST", format!("/v2/models/{name}/infer"), 404),
            ("GET", format!("/v2/models/iris/versions/{name}"), 404),
            ("POST", format!("/v2/models/iris/versions/{name}/infer"), 404),
            ("GET", format!("/v1/models/{name}"), 404),
            ("POST", format!("/v1/models/{name}:predict"), 404),
            ("POST", format!("/v1/models/iris:{name}"), 404),
            ("GET", format!("/v1/models/iris/versions/{name}"), 404),
            ("GET", format!("/v1/models/iris/labels/{name}"), 404),
            ("POST", format!("/predict/{name}"), 404),
            ("GET", format!("/predict/{name}"), 405),
            ("GET", format!("/{name}"), 404),
            ("POST", format!("/predict/iris?version={name}"), 404),
            ("POST", format!("/predict/iris?top_k={name}"), 400),
            ("POST", format!("/predict/iris?timeout={name}"), 400),
        ] {
            let reply = server.ask(method, &target, &[("X-Request-Id", &format!("long-{status}"))], b"[]");
            let error = reply.error(status);
            assert!(error.len() <= TEXT, "{} bytes: {error}", error.len());
        }
    }
    for header in ["Content-Type", "Inference-Header-Content-Length"] {
        let reply = server.ask(
            "POST",
            if header == "Content-Type" { "/predict/iris" } else { V2 },
            &[(header, &long)],
            b"[]",
        );
        let error = reply.error(if header == "Content-Type" { 415 } else { 400 });
        assert!(error.len() <= TEXT, "{} bytes: {error}", error.len());
    }
    lives(&server);
    let longest = server.process.longest_line();
    assert!(longest.len() < 4 * TEXT, "{} bytes of log: {}", longest.len(), &longest[..TEXT]);
}

#[test]
fn what_the_owner_sends_is_small_and_quoted_in_part() {
    let address = format!("127.0.0.1:{}", free_port());
    let deployment = Deployment::started("", &[("m.onnx", &constant(1.0, 4))], |command| {
        command.args(["--admin", &address]);
    });
    let ask = |method: &str, target: &str, headers: &[(&str, &str)], body: &str| {
        let stream = patient(TcpStream::connect(&address).unwrap());
        by_http(stream, method, target, headers, body.as_bytes())
    };
    let (long, own) = ("N".repeat(40_000), [("Host", &*address)]);
    let (index, load) = ("/v2/repository/index", "/v2/repository/models/m/load");
    let model = |verb: &str| format!("/v2/repository/models/{long}/{verb}");
    let (unexpected, file) =
        (format!(r#"{{"ready": "{long}"}}"#), format!(r#"{{"parameters": {{"file:{long}": ""}}}}"#));
    let too_large = format!("{file}{}", " ".repeat(64 * 1024));
    for (method, target, headers, body, status, says) in [
        ("GET", "/status", &[("Host", &*long)], "", 403, "is not called 'NNN"),
        ("GET", "/status", &[own[0], ("Origin", &*long)], "", 403, "from pages of 'NNN"),
        ("GET", &model("load"), &own, "", 405, "does not take GET"),
        (&long, "/status", &own, "", 405, "does not take NNN"),
        ("POST", &model("load"), &own, "", 404, "there is no model 'NNN"),
        ("POST", &model("unload"), &own, "", 404, "there is no model 'NNN"),
        ("POST", index, &own, &unexpected, 400, "invalid type: string"),
        ("POST", load, &own, &file, 400, "parameters.file:NNN"),
        ("POST", index, &own, &too_large, 413, "no more than 65536"),
        ("POST", load, &own, &too_large, 413, "a model is what its folder has"),
    ]
        as [(&str, &str, &[(&str, &str)], &str, u16, &str); 10]
    {
        let error = ask(method, target, headers, body).error(status);
        assert!(error.contains(says) && error.len() <= TEXT, "{} bytes: {error:.TEXT$}", error.len());
    }
    deployment.server.ask(&long, "/nowhere", &[], b"").error(404);
    let longest = deployment.server.process.longest_line();
    assert!(longest.len() < 4 * TEXT, "{} bytes of log: {}", longest.len(), &longest[..TEXT]);
}

#[test]
fn a_great_many_tensors_are_refused_by_the_first_too_many() {
    let one = input("x", "FP32", "[1,1]", r#""data":[1]"#);
    let list = |item: &str| format!("[{item}{}]", format!(",{item}").repeat(MANY - 1));
    let inputs = format!(r#"{{"inputs":{}}}"#, list(&input("n", "FP32", "[0]", r#""data":[]"#)));
    let outputs = format!(r#"{{"inputs":[{one}],"outputs":{}}}"#, list(r#"{"name":"n"}"#));
    let instances = format!(r#"{{"instances":{}}}"#, list(r#"{"x":[]}"#));
    let members = format!(r#"{{"inputs":{{"n0":[]{}}}}}"#, r#","n":[]"#.repeat(MANY - 1));
    let largest = inputs.len();
    let cases = [
        Case::json(V2, inputs, &["more than 4096 inputs"]),
        Case::json(V2, outputs, &["more than 4096 outputs"]),
        Case::json(V1, instances, &["input 'x'"]),
        Case::json(V1, &members, &["has no input 'n0'; it has 'x'"]),
        Case::json("/predict/identity_float", members, &["has no input 'n0'; it has 'x'"]),
    ];
    // The body itself, twice where it grows, and little more.
    check_all(&cases, 3 * largest);
}

#[test]
fn a_form_of_a_great_many_parts_or_long_names_is_refused() {
    let server = Server::start();
    lives(&server);
    let part = |name: &str| {
        format!("--x\r\nContent-Disposition: form-data; name={name}; filename={name}\r\n\r\n\r\n")
    };
    let headers = [("Content-Type", "multipart/form-data; boundary=x")];
    let many = format!("{}--x--\r\n", part("f").repeat(MANY));
    let long = format!("{}--x--\r\n", part(&"n".repeat(3000)));
    let before = server.peak();
    for (body, status, says) in [(&many, 413, "more than 1024 parts"), (&long, 415, "part 1 ('nnn")] {
        let error = server.ask("POST", "/predict/digits", &headers, body.as_bytes()).error(status);
        assert!(error.contains(says) && error.len() <= TEXT, "{error}");
    }
    let grown = server.peak() - before;
    assert!(grown <= 3 * many.len(), "{grown} bytes for {}", many.len());
    lives(&server);
}

#[test]
fn a_shape_of_a_great_many_dimensions_is_refused() {
    let dims = format!("[{}]", vec!["1"; MANY].join(","));
    let numbers = format!("[{}]", vec!["[]"; MANY].join(","));
    let cases = [
        Case::json(V2, request(&[input("x", "FP32", &dims, r#""data":[1]"#)]), &["more than 32 dimensions"]),
        Case::json(
            V2,
            request(&[input("x", "FP32", "[1,1]", &format!(r#""data":{numbers}"#))]),
            &["input 'x'"],
        ),
        Case::json(
            V2,
            request(&[input("x", "FP32", "[1,1]", &format!(r#""data":{dims}"#))]),
            &["shape [1, 1] needs 1 elements, got 1000000"],
        ),
    ];
    check_all(&cases, 64 << 20);
}

/// What a tensor takes is in proportion to what came, whatever it is made of.
#[test]
fn tensors_take_little_more_than_their_bytes() {
    let server = Server::start();
    lives(&server);
    for (model, datatype, element, times) in [("double", "FP64", "0", 8), ("uint8", "UINT8", "0", 4)] {
        let before = server.peak();
        let data = vec![element; MANY].join(",");
        // Not the model's shape, so that it does not run.
        let body = request(&[input("x", datatype, &format!("[{MANY}]"), &format!(r#""data":[{data}]"#))]);
        assert!(body.len() > SMALL);
        check(
            &server,
            &[Case::json(
                format!("/v2/models/identity_{model}/infer"),
                &body,
                &["must be of shape [-1, -1]"],
            )],
        );
        let grown = server.peak() - before;
        assert!(grown <= times * body.len(), "{datatype}: {grown} bytes for {}", body.len());
    }
}

/// Bytes are only looked at where they are numbers: to go through strings is work for a worker.
#[test]
fn a_great_many_strings_as_bytes_hold_nobody_up_and_take_little_memory() {
    let server = Server::start();
    lives(&server);
    // Each is four zeros, which is its length.
    let size = 48 << 20;
    let texts = input(
        "x",
        "BYTES",
        &format!("[{}]", size / 4),
        &format!(r#""parameters":{{"binary_data_size":{size}}}"#),
    );
    let head = request(&[texts]);
    let body = [head.as_bytes(), &vec![0; size]].concat();
    let case =
        Case::binary("/v2/models/identity_string/infer", head.len(), body, &["must be of shape [-1, -1]"]);
    let before = server.peak();
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    std::thread::scope(|scope| {
        let refused = scope.spawn(|| check(&server, &[case]));
        while !refused.is_finished() {
            let begun = Instant::now();
            server.get("/v2/health/live").ok();
            (asked, slowest) = (asked + 1, slowest.max(begun.elapsed()));
        }
        refused.join().unwrap();
    });
    assert!(asked > 0 && slowest < Duration::from_millis(500), "the slowest of {asked} took {slowest:?}");
    // They, and a place for each.
    let held = server.peak() - before;
    assert!(held < 5 * size, "{held} bytes for a body of {size}");
}
