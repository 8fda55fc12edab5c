//! `GET /openapi.json` says what the server does: its paths and methods are there, its examples and commands work, and
//! what is answered is what it describes.

use crate::harness::{Nginx, Reply, Server, read, source};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

fn document(server: &Server) -> Value {
    let reply = server.get("/openapi.json");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    reply.ok()
}

/// What a `$ref` leads to.
fn resolve<'a>(document: &'a Value, node: &'a Value) -> &'a Value {
    match node["$ref"].as_str() {
        Some(place) => {
            document.pointer(place.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{place}"))
        }
        None => node,
    }
}

/// The paths as the document writes them, as they are asked by its examples, and what can be done there.
fn paths(document: &Value) -> Vec<(&str, String, &Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .map(|(path, item)| {
            let mut target = path.clone();
            for parameter in item["parameters"].as_array().unwrap() {
                let parameter = resolve(document, parameter);
                if parameter["in"] == "path" {
                    let example = parameter["example"].to_string();
                    let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
                    assert!(target.contains(&name), "{path} has no {name}");
                    target = target.replace(&name, example.trim_matches('"'));
                }
            }
            assert!(!target.contains('{'), "{path} has a parameter that is not described");
            (path.as_str(), target, item.as_object().unwrap())
        })
        .collect()
}

fn documented(item: &Map<String, Value>) -> BTreeSet<&'static str> {
    let has = |method: &str| item.contains_key(&method.to_lowercase());
    METHODS.into_iter().filter(|method| has(method) || *method == "HEAD" && has("GET")).collect()
}

#[test]
fn what_is_documented_is_there_and_every_other_method_is_told_so() {
    let server = Server::start();
    let document = document(&server);
    let mut calls = 0;
    for (path, target, item) in paths(&document) {
        let documented = documented(item);
        for method in METHODS {
            let reply = server.ask(method, &target, &[], b"");
            let text = String::from_utf8_lossy(&reply.body);
            if documented.contains(method) {
                assert!(![404, 405].contains(&reply.status), "{method} {path}: {text}");
                calls += 1;
                continue;
            }
            assert_eq!(reply.status, 405, "{method} {path}: {text}");
            let allow = reply.header("allow").unwrap_or_else(|| panic!("{method} {path} has no Allow"));
            assert_eq!(
                allow.split(',').map(str::trim).collect::<BTreeSet<_>>(),
                documented,
                "{method} {path}"
            );
        }
    }
    assert!(calls > 20, "{calls}");
}

/// A request of which an answer is to be seen.
struct Asked<'a> {
    path: &'a str,
    method: &'a str,
    target: String,
    headers: Vec<(&'a str, &'a str)>,
    body: Vec<u8>,
    status: u16,
}

/// All examples of request bodies, and every call that needs none.
fn examples(document: &Value) -> Vec<Asked<'_>> {
    let mut asked = Vec::new();
    for (path, target, item) in paths(document) {
        for method in documented(item).into_iter().filter(|method| *method != "HEAD") {
            let operation = &item[&method.to_lowercase()];
            let mut ask = |headers, body| {
                asked.push(Asked { path, method, target: target.clone(), headers, body, status: 200 });
            };
            if method == "GET" {
                ask(vec![], vec![]);
            }
            for (media_type, content) in operation["requestBody"]["content"].as_object().into_iter().flatten()
            {
                for example in content["examples"].as_object().into_iter().flat_map(Map::values) {
                    let body = example["value"].to_string().into_bytes();
                    ask(vec![("Content-Type", media_type.as_str()), ("X-Request-Id", "order-4711")], body);
                }
            }
        }
    }
    asked
}

/// Calls with bodies that a document cannot hold, and calls that go wrong.
fn others() -> Vec<Asked<'static>> {
    const PREDICT: &str = "/predict/{model}";
    const INFER: &str = "/v2/models/{model}/infer";
    const V1: &str = "/v1/models/{model}:predict";
    let post = |path, model: &str, query: &str, content_type, body: &[u8], status| Asked {
        path,
        method: "POST",
        target: path.replace("{model}", model) + query,
        headers: vec![("Content-Type", content_type)],
        body: body.to_vec(),
        status,
    };
    let number = |number: f32| number.to_le_bytes();
    let row = [5.1, 3.5, 1.4, 0.2].map(number).concat();
    let seven = read("models/digits/samples/7.png");
    let json = "application/json";
    let infer = br#"{"inputs":[{"name":"measurements","datatype":"FP32","shape":[1,4],"data":[5.1,3.5,1.4,0.2]}],"parameters":{"binary_data_output":true}}"#;
    let busy = format!(r#"{{"inputs":{{"rounds":2000000000,"x":[[{}]]}}}}"#, vec!["0.5"; 256].join(","));
    let maps = br#"{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[1,2,3,-1]}]}"#;
    let fails = br#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}"#;
    let mut raw = post(INFER, "iris", "", "application/octet-stream", &row, 200);
    raw.headers.push(("Inference-Header-Content-Length", "0"));
    vec![
        post(PREDICT, "digits", "?top_k=2", "image/png", &seven, 200),
        post(PREDICT, "iris", "?version=1&timeout=30s&unknown=1", "application/octet-stream", &row, 200),
        post(PREDICT, "identity_string", "", json, br#"[["a", "b"], ["c", "d"]]"#, 200),
        post(PREDICT, "sigmoid", "", json, sigmoid().as_bytes(), 200),
        post(PREDICT, "classifier_of_names", "", json, b"[[1, 2], [3, -1]]", 200),
        post(PREDICT, "identity_string", "", json, br#"[[{"b64": "/w=="}]]"#, 200),
        post(PREDICT, "digits", "", "multipart/form-data; boundary=x", &form(&[&seven, &seven]), 200),
        post(PREDICT, "digits", "", "multipart/form-data; boundary=x", &form(&[&seven, b"no picture"]), 415),
        post(PREDICT, "digits", "", "multipart/form-data", b"", 400),
        post(PREDICT, "digits", "", "multipart/form-data; boundary=x", &form(&vec![&b"x"[..]; 1025]), 413),
        post(PREDICT, "iris", "", json, b"[[1, 2]]", 400),
        post(PREDICT, "iris", "?top_k=0", json, b"[[5.1, 3.5, 1.4, 0.2]]", 400),
        post(PREDICT, "irises", "", json, b"[]", 404),
        post(PREDICT, "iris", "", "text/plain", b"x", 415),
        post(PREDICT, "digits", "", "image/png", &read("tests/data/images/truncated.png"), 422),
        post(PREDICT, "fail_at_run", "", json, b"[[1, 2, 3]]", 500),
        post(PREDICT, "busy", "?timeout=50ms", json, busy.as_bytes(), 504),
        raw,
        post(INFER, "iris", "", json, infer, 200),
        post(INFER, "iris", "", json, b"{}", 400),
        post(INFER, "irises", "", json, b"{}", 404),
        post(INFER, "fail_at_run", "", json, fails, 500),
        post(INFER, "classifier", "", json, maps, 200),
        post(V1, "classifier", "", json, br#"{"inputs":[[1, 2], [3, -1]]}"#, 200),
        post(V1, "identity_string", "", json, br#"{"instances":[[{"b64":"YQ"}]]}"#, 200),
        post(V1, "iris", "", json, b"{}", 400),
        post(V1, "irises", "", json, b"{}", 404),
        post(PREDICT, "broken", "", json, b"[]", 503),
        post(INFER, "broken", "", json, b"{}", 503),
        post(V1, "broken", "", json, b"{}", 503),
        Asked { method: "GET", ..post("/v2/models/{model}", "broken", "", json, b"", 503) },
        Asked { method: "GET", ..post("/v2/models/{model}", "irises", "", json, b"", 404) },
        Asked { method: "GET", ..post("/v2/models/{model}/ready", "irises", "", json, b"", 404) },
        Asked { method: "GET", ..post("/v2/models/{model}/stats", "irises", "", json, b"", 404) },
        Asked { method: "GET", ..post("/v2/models/{model}/config", "digits", "", json, b"", 200) },
        Asked { method: "GET", ..post("/v2/models/{model}", "logreg_iris", "", json, b"", 200) },
        Asked {
            method: "GET",
            ..post("/v1/models/{model}/metadata", "identity_bfloat16", "", json, b"", 200)
        },
    ]
}

/// Each a file.
fn form(files: &[&[u8]]) -> Vec<u8> {
    let file = |file: &&[u8]| {
        let head = b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n";
        [&head[..], file, b"\r\n"].concat()
    };
    [files.iter().flat_map(file).collect(), b"--x--\r\n".to_vec()].concat()
}

fn sigmoid() -> String {
    let golden: Value = serde_json::from_slice(&read("tests/data/golden/sigmoid.json")).unwrap();
    let shape = &golden["cases"][0]["inputs"]["x"]["shape"];
    let lengths = shape.as_array().unwrap().iter().rev().map(|length| length.as_u64().unwrap());
    lengths.fold("0.5".into(), |inner, length| {
        format!("[{}]", vec![inner; usize::try_from(length).unwrap()].join(","))
    })
}

fn answer(server: &Server, asked: &Asked<'_>) -> Reply {
    let reply = server.ask(asked.method, &asked.target, &asked.headers, &asked.body);
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, asked.status, "{} {}: {text}", asked.method, asked.target);
    reply
}

#[test]
fn examples_are_answered_as_documented() {
    let server = Server::start();
    let document = document(&server);
    let examples = examples(&document);
    for asked in &examples {
        let reply = answer(&server, asked);
        let named = asked.headers.iter().find(|(name, _)| *name == "X-Request-Id").map(|(_, id)| *id);
        assert!(named.is_none_or(|id| reply.header("x-request-id") == Some(id)));
    }
    assert!(examples.iter().filter(|asked| asked.method == "POST").count() >= 8);
}

#[test]
#[ignore = "needs a validator from PyPI, for `make test`"]
fn the_document_is_valid_and_answers_are_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.onnx"), "no model").unwrap();
    let server = Server::with_arguments("strict_models = false", |command| {
        command.arg("--model").arg(format!("broken={}", folder.path().display()));
    });
    let document = document(&server);
    let mut exchanges = Vec::new();
    for asked in examples(&document).into_iter().chain(others()) {
        let reply = answer(&server, &asked);
        exchanges.push(json!({
            "path": asked.path,
            "method": asked.method.to_lowercase(),
            "status": reply.status,
            "headers": reply.headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "body": BASE64_STANDARD.encode(&reply.body),
        }));
    }
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools/bin/python");
    let mut check = Command::new(&python)
        .arg(source("tests/openapi/check.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}: scripts/setup.sh openapi", python.display()));
    let given = json!({ "document": document, "exchanges": exchanges }).to_string();
    check.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let says = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{says}");
    println!("{says}");
}

/// All descriptions within `node`.
fn descriptions<'a>(node: &'a Value, found: &mut Vec<&'a str>) {
    match node {
        Value::Object(members) => {
            found.extend(members.get("description").and_then(Value::as_str));
            members.values().for_each(|member| descriptions(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| descriptions(item, found)),
        _ => {}
    }
}

#[test]
fn what_is_there_to_be_pasted_works() {
    let server = Server::start();
    let nginx = Nginx::before(&server);
    let document = document(&server);
    let mut texts = Vec::new();
    descriptions(&document, &mut texts);
    let blocks: BTreeSet<&str> = texts
        .iter()
        .flat_map(|text| text.split("```sh\n").skip(1))
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 8, "{blocks:?}");
    // As a person types it, but so that it fails where the answer is an error.
    let curl = r#"curl() { command curl --silent --show-error --fail-with-body "$@"; }"#;
    for block in blocks {
        assert!(block.contains("http://127.0.0.1:8080/"), "{block}");
        let script = format!("{curl}\n{}", block.replace("http://127.0.0.1:8080", &nginx.url));
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(source(""))
            .output()
            .unwrap();
        let (says, complains) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n{says}\n{complains}");
    }
}
