//! What is wrong gets the right status and a text that helps; the server lives on.

use crate::harness::{Nginx, Reply, Server, read};
use predictd_protocol::gateway::detect::Wire;
use serde_json::json;

/// A request and the error that it must get.
struct Case<'a> {
    target: &'a str,
    content_type: &'a str,
    body: Vec<u8>,
    status: u16,
    says: &'a [&'a str],
}

fn cases() -> Vec<Case<'static>> {
    let case = |target, body: &str, status, says| Case {
        target,
        content_type: "application/json",
        body: body.as_bytes().to_vec(),
        status,
        says,
    };
    let infer = "/v2/models/iris/infer";
    let input = |rest: &str| format!(r#"{{"inputs":[{{{rest}}}]}}"#);
    let picture = |name: &str, says| Case {
        target: "/predict/digits",
        content_type: "image/png",
        body: read(&format!("tests/data/images/{name}")),
        status: 422,
        says,
    };
    vec![
        case(
            infer,
            &input(r#""name":"measurement","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]"#),
            400,
            &["model 'iris' has no input 'measurement'; it has 'measurements'"],
        ),
        case(
            infer,
            &input(r#""name":"measurements","datatype":"FP64","shape":[1,4],"data":[1,2,3,4]"#),
            400,
            &["model 'iris': input 'measurements' must be FP32, got FP64"],
        ),
        case(
            infer,
            &input(r#""name":"measurements","datatype":"FP32","shape":[1,5],"data":[1,2,3,4,5]"#),
            400,
            &["model 'iris': input 'measurements' must be of shape [-1, 4], got [1, 5]"],
        ),
        case(
            infer,
            &input(r#""name":"measurements","datatype":"FP32","shape":[4],"data":[1,2,3,4]"#),
            400,
            &["must be of shape [-1, 4], got [4]"],
        ),
        case(
            infer,
            &input(r#""name":"measurements","datatype":"FP32","shape":[2,4],"data":[1,2,3,4]"#),
            400,
            &["input 'measurements': shape [2, 4] needs 8 elements, got 4"],
        ),
        case(
            infer,
            &input(r#""name":"measurements","datatype":"FP32","shape":[1,4],"data":[1,2,3,"4"]"#),
            400,
            &["input 'measurements': a string is not a value of FP32"],
        ),
        case(infer, r#"{"inputs":[]}"#, 400, &["model 'iris': input 'measurements' is missing"]),
        case(infer, r#"{"inputs":"#, 400, &["not an inference request: EOF", "line 1"]),
        case(infer, "", 400, &["not an inference request: EOF"]),
        case(
            infer,
            r#"{"inputs":[],"outputs":[{"name":"z"}]}"#,
            400,
            &["model 'iris' has no output 'z'; it has 'probabilities', 'species'"],
        ),
        case("/v2/models/none/infer", "{}", 404, &["there is no model 'none'"]),
        case("/v2/models/iris/versions/7/infer", "{}", 404, &["model 'iris' has no version 7; it has 1"]),
        case("/predict/none", "[]", 404, &["there is no model 'none'"]),
        case("/predict/iris?version=x", "[]", 404, &["has no version x"]),
        case("/predict/iris?top_k=0", "[[1,2,3,4]]", 400, &["top_k must be a whole number from 1, got '0'"]),
        case("/predict/iris?timeout=5", "[[1,2,3,4]]", 400, &["timeout: ", "us, ms, s"]),
        case(
            "/predict/iris",
            "[[1,2,3,4],[1]]",
            400,
            &["model 'iris': input 'measurements': the lists are ragged"],
        ),
        case("/predict/iris", r#"{"inputs":{"x":[1]}}"#, 400, &["model 'iris' has no input 'x'"]),
        case("/predict/iris", r#"{"x":1}"#, 400, &["not JSON for /predict: missing field `inputs`"]),
        case(
            "/predict/add_sub",
            "[1]",
            400,
            &["model 'add_sub': there are 2 inputs, so that a bare list is not enough"],
        ),
        case("/nowhere", "", 404, &["there is nothing at /nowhere"]),
        case(
            "/v2/models/fail_at_run/infer",
            &input(r#""name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]"#),
            500,
            &["model 'fail_at_run' failed: ", "reshape"],
        ),
        case(
            "/v2/models/lookup/infer",
            &input(r#""name":"index","datatype":"INT64","shape":[1],"data":[10]"#),
            500,
            &["model 'lookup' failed: ", "idx=10"],
        ),
        picture("truncated.png", &["PNG"]),
        picture("bomb.png", &["over the limit of 50000000"]),
        picture("not_an_image.png", &[]),
        Case {
            target: "/predict/iris",
            content_type: "image/png",
            body: read("models/digits/samples/7.png"),
            status: 415,
            says: &["model 'iris' takes no images"],
        },
        Case {
            target: "/predict/iris",
            content_type: "text/plain",
            body: b"x".to_vec(),
            status: 415,
            says: &["content type 'text/plain' is not taken here"],
        },
        Case {
            target: "/predict/iris",
            content_type: "",
            body: b"hello".to_vec(),
            status: 415,
            says: &["neither an image, nor JSON, nor rows of model 'iris'"],
        },
        Case {
            target: "/predict/iris",
            content_type: "application/octet-stream",
            body: vec![0; 15],
            status: 400,
            says: &["15 bytes are no whole number of rows of input 'measurements' (FP32 [-1, 4])"],
        },
    ]
}

fn check(case: &Case<'_>, reply: &Reply) {
    let error = reply.error(case.status);
    for part in case.says {
        assert!(error.to_lowercase().contains(&part.to_lowercase()), "{}: {error}", case.target);
    }
}

#[test]
fn each_mistake_has_its_status_and_says_what_is_wrong() {
    let server = Server::start();
    let nginx = Nginx::before(&server);
    for case in cases() {
        let headers = [("Content-Type", case.content_type)];
        let headers = if case.content_type.is_empty() { &[][..] } else { &headers };
        check(&case, &server.ask("POST", case.target, headers, &case.body));
        check(&case, &nginx.ask("POST", case.target, headers, &case.body));
    }
    let alive = server.post("/predict/iris", "[[5.1, 3.5, 1.4, 0.2]]").ok();
    assert_eq!(alive["results"][0]["classes"][0]["label"], "setosa");
}

#[test]
fn a_path_that_is_no_text_is_an_error_like_any_other() {
    let server = Server::start();
    for (method, target) in
        [("GET", "/v2/models/%FF"), ("POST", "/predict/%FF"), ("POST", "/v2/models/%FF/infer")]
    {
        let reply = crate::wires::ask(&server, Wire::Http, method, target, &[], b"");
        assert!(reply.error(400).contains("the path cannot be read"), "{target}");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::start();
    for (method, target, allow) in [
        ("GET", "/predict/iris", "POST"),
        ("DELETE", "/v2/models/iris/infer", "POST"),
        ("POST", "/v2/health/live", "GET,HEAD"),
        ("PUT", "/v2/models/iris", "GET,HEAD"),
    ] {
        let reply = server.ask(method, target, &[], b"");
        assert!(reply.error(405).contains(&format!("does not take {method}")));
        assert_eq!(reply.header("allow"), Some(allow), "{method} {target}");
    }
}

#[test]
fn a_request_id_is_the_callers_if_it_can_be() {
    let server = Server::start();
    let id = |given: &str| {
        let reply = server.ask("GET", "/v2", &[("X-Request-Id", given)], b"");
        reply.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id("a.B_1:-"), "a.B_1:-");
    for bad in ["", "a b", "ü", &"x".repeat(129)] {
        let fresh = id(bad);
        assert!(fresh.len() == 32 && fresh.bytes().all(|byte| byte.is_ascii_hexdigit()), "{bad}: {fresh}");
    }
    assert_ne!(id(""), id(""));
}

#[test]
fn a_request_may_have_less_time_than_its_model() {
    let server = Server::start();
    let rounds = json!({ "name": "rounds", "datatype": "INT64", "shape": [], "data": [20_000_000] });
    let x = json!({ "name": "x", "datatype": "FP32", "shape": [1, 256], "data": vec![0.5; 256] });
    let body = json!({ "inputs": { "rounds": rounds["data"][0], "x": [x["data"]] } }).to_string();
    let begun = std::time::Instant::now();
    let error = server.post("/predict/busy?timeout=200ms", &body).error(504);
    assert_eq!(error, "model 'busy' gave no answer within 200 ms");
    assert!(begun.elapsed().as_millis() < 2000, "{:?}", begun.elapsed());
    // The run was ended with its request: both workers are free at once.
    for _ in 0..4 {
        server.post("/predict/iris?timeout=5s", "[[5.1, 3.5, 1.4, 0.2]]").ok();
    }
}
