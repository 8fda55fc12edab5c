//! Right answers.

use crate::harness::{Nginx, Server, read};
use serde_json::{Value, json};

/// Whether two JSON values are the same, numbers within a tolerance.
fn close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-4 + 1e-3 * b.abs()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b)),
        _ => a == b,
    }
}

fn sixteen(number: i32) -> Value {
    vec![number; 16].into()
}

fn label(answer: &Value) -> &str {
    answer["results"][0]["classes"][0]["label"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn all_ten_digits_are_read_through_nginx() {
    let server = Server::start();
    let nginx = Nginx::before(&server);
    for digit in 0..10 {
        let picture = read(&format!("models/digits/samples/{digit}.png"));
        // As `curl --data-binary` sends it.
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = nginx.ask("POST", "/predict/digits", &headers, &picture).ok();
        assert_eq!(label(&answer), digit.to_string(), "{answer}");
        assert_eq!((&answer["model"], &answer["version"]), (&json!("digits"), &json!("1")));
        let classes = answer["results"][0]["classes"].as_array().unwrap();
        assert_eq!(classes.len(), 5);
        assert!(classes[0]["score"].as_f64().unwrap() > 0.9);
    }
}

#[test]
fn iris_by_json_equals_its_golden_answers() {
    let server = Server::start();
    let golden: Value = serde_json::from_slice(&read("tests/data/golden/iris.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let input = &case["inputs"]["measurements"];
        let body = json!({ "id": "a", "inputs": [{
            "name": "measurements", "datatype": "FP32", "shape": input["shape"], "data": input["data"] }] });
        let answer = server.post("/v2/models/iris/infer", body.to_string()).ok();
        assert_eq!(
            (&answer["model_name"], &answer["model_version"], &answer["id"]),
            (&json!("iris"), &json!("1"), &json!("a"))
        );
        for output in answer["outputs"].as_array().unwrap() {
            let expected = &case["outputs"][output["name"].as_str().unwrap()];
            assert_eq!(output["shape"], expected["shape"], "{answer}");
            assert!(close(&output["data"], &expected["data"]), "{answer} is not {expected}");
        }
        assert_eq!(answer["outputs"].as_array().unwrap().len(), case["outputs"].as_object().unwrap().len());
    }
}

#[test]
fn a_photo_format_of_any_kind_is_a_seven() {
    let server = Server::start();
    for name in [
        "rotated.jpg",
        "cmyk.jpg",
        "grey16.png",
        "rgba.png",
        "animated.gif",
        "webp_lossy.webp",
        "webp_lossless.webp",
        "bmp.bmp",
        "palette.png",
        "progressive.jpg",
    ] {
        let picture = read(&format!("tests/data/images/{name}"));
        let answer = server.post("/predict/digits", picture).ok();
        assert_eq!(label(&answer), "7", "{name}: {answer}");
    }
}

#[test]
fn json_for_predict_is_by_name_or_bare() {
    let server = Server::start();
    let row = json!([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]);
    let named = server.post("/predict/iris", json!({ "inputs": { "measurements": row } }).to_string()).ok();
    assert_eq!(label(&named), "setosa");
    assert_eq!(named["results"][1]["classes"][0]["label"], "virginica");
    assert_eq!(named, server.post("/predict/iris", row.to_string()).ok());
    let one = server.post("/predict/iris?top_k=1", row.to_string()).ok();
    assert_eq!(one["results"][0]["classes"].as_array().unwrap().len(), 1);
    let sum = server
        .post("/predict/add_sub", json!({ "inputs": { "a": [sixteen(1)], "b": [sixteen(2)] } }).to_string());
    assert_eq!(sum.ok()["results"], json!([{ "outputs": { "sum": sixteen(3), "difference": sixteen(-1) } }]));
}

#[test]
fn raw_bytes_are_rows_of_the_only_input() {
    let server = Server::start();
    let bytes: Vec<u8> = [5.1f32, 3.5, 1.4, 0.2].iter().flat_map(|number| number.to_le_bytes()).collect();
    let answer =
        server.ask("POST", "/predict/iris", &[("Content-Type", "application/octet-stream")], &bytes).ok();
    assert_eq!(label(&answer), "setosa");
    assert_eq!(server.post("/predict/iris", &bytes).ok(), answer);
    assert_eq!(server.post("/predict/iris", bytes.repeat(3)).ok()["results"].as_array().unwrap().len(), 3);
}

/// Where nothing is said of it: a picture's first bytes, then JSON that is JSON, then whole rows.
#[test]
fn a_body_is_what_it_looks_like() {
    let server = Server::start();
    let json = "[[5.1, 3.5, 1.4, 0.2]]";
    let row: Vec<u8> = [5.1f32, 3.5, 1.4, 0.2].iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut brackets = row.clone();
    brackets[..3].copy_from_slice(b" [{");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for headers in [&[][..], &form] {
        let ask = |body: &[u8]| server.ask("POST", "/predict/iris?top_k=1", headers, body);
        let results = |body: &[u8]| ask(body).ok()["results"].as_array().unwrap().len();
        assert_eq!(results(json.as_bytes()), 1);
        assert_eq!(results(format!("\r\n\t {json}").as_bytes()), 1);
        assert_eq!(results(&row), 1);
        assert_eq!(results(&brackets), 1, "a row may begin like JSON");
        // Too much to be looked at before a worker does.
        assert_eq!(results(&row.repeat(10_000)), 10_000);
        assert_eq!(results(&brackets.repeat(10_000)), 10_000);
        let many = format!(" [{}]", vec!["[5.1, 3.5, 1.4, 0.2]"; 10_000].join(","));
        assert_eq!(results(many.as_bytes()), 10_000);
        assert!(ask(b"[[1, 2, 3, 4]").error(400).contains("input 'measurements': EOF while looking for"));
        let picture = read("models/digits/samples/7.png");
        assert!(ask(&picture).error(415).contains("model 'iris' takes no images"));
        for unknown in [&b"hello"[..], &[0; 100_001], b""] {
            assert!(ask(unknown).error(415).contains("neither an image, nor JSON, nor rows of model 'iris'"));
        }
    }
}

#[test]
fn strings_and_selected_outputs_are_served() {
    let server = Server::start();
    let body = json!({ "inputs": [
        { "name": "b", "datatype": "BYTES", "shape": [2], "data": ["x", "ü"] },
        { "name": "a", "datatype": "BYTES", "shape": [2], "data": ["1", "2"] }] });
    let answer = server.post("/v2/models/string_join/infer", body.to_string()).ok();
    assert_eq!(answer["outputs"][0]["data"], json!(["1x", "2ü"]));
    let row = |name| json!({ "name": name, "datatype": "INT32", "shape": [1, 16], "data": [sixteen(4)] });
    let body = json!({ "inputs": [row("a"), row("b")], "outputs": [{ "name": "difference" }] });
    let answer = server.post("/v2/models/add_sub/infer", body.to_string()).ok();
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(answer["outputs"][0]["data"], sixteen(0));
}

#[test]
fn metadata_says_what_a_model_takes() {
    let server = Server::start();
    let expected = json!({
        "name": "iris", "versions": ["1"], "platform": "onnxruntime_onnx",
        "inputs": [{ "name": "measurements", "datatype": "FP32", "shape": [-1, 4] }],
        "outputs": [
            { "name": "probabilities", "datatype": "FP32", "shape": [-1, 3] },
            { "name": "species", "datatype": "INT64", "shape": [-1] }] });
    for path in ["/v2/models/iris", "/v2/models/iris/versions/1", "/v2/models/iris?verbose=1"] {
        assert_eq!(server.get(path).ok(), expected);
    }
    assert_eq!(server.get("/v2/models/iris/ready").ok(), json!({ "name": "iris", "ready": true }));
    assert_eq!(server.get("/v2/health/live").ok(), json!({ "live": true }));
    assert_eq!(server.get("/v2/health/ready").ok(), json!({ "live": true, "ready": true }));
    assert_eq!(server.get("/v2").ok()["name"], "predictd");
    assert_eq!(server.get("/v2").ok(), server.get("/v2/").ok());
    let head = server.ask("HEAD", "/v2/models/iris", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length").unwrap(), server.get("/v2/models/iris").body.len().to_string());
}

#[test]
fn thirty_two_clients_at_once_get_each_its_own_answer() {
    let server = Server::with("[workers]\ncount = 2");
    let nginx = Nginx::before(&server);
    std::thread::scope(|scope| {
        for client in 0..32i32 {
            let nginx = &nginx;
            scope.spawn(move || {
                for round in 0..25 {
                    let number = client * 1000 + round;
                    let row = |name, value: i32| {
                        json!({ "name": name, "datatype": "INT32", "shape": [1, 16], "data": [sixteen(value)] })
                    };
                    let id = format!("{client}-{round}");
                    let body = json!({ "id": id, "inputs": [row("a", number), row("b", 7)] }).to_string();
                    let headers = [("Content-Type", "application/json"), ("X-Request-Id", id.as_str())];
                    let reply = nginx.ask("POST", "/v2/models/add_sub/infer", &headers, body.as_bytes());
                    assert_eq!(reply.header("x-request-id"), Some(&*id));
                    let answer = reply.ok();
                    assert_eq!(answer["id"], id);
                    assert_eq!(answer["outputs"][0]["data"], sixteen(number + 7));
                    assert_eq!(answer["outputs"][1]["data"], sixteen(number - 7));
                }
            });
        }
    });
}
