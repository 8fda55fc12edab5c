//! The Open Inference Protocol with Triton's extensions, as its clients use it: every datatype in every form, metadata and
//! configuration, classification, parameters.

use crate::harness::{Reply, Server};
use serde_json::{Value, json};
use std::{fs, time::Instant};

/// A datatype, two elements of it as JSON and as bytes.
type Elements = (&'static str, &'static str, Value, Vec<u8>);

fn bytes<T, const N: usize>(numbers: [T; 2], to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.into_iter().flat_map(to_bytes).collect()
}

/// By the names of the models that give back what they get.
fn every_datatype() -> Vec<Elements> {
    vec![
        ("bool", "BOOL", json!([true, false]), vec![1, 0]),
        ("uint8", "UINT8", json!([0, 255]), vec![0, 255]),
        ("uint16", "UINT16", json!([1, 65535]), bytes([1, u16::MAX], u16::to_le_bytes)),
        ("uint32", "UINT32", json!([1, u32::MAX]), bytes([1, u32::MAX], u32::to_le_bytes)),
        ("uint64", "UINT64", json!([1, u64::MAX]), bytes([1, u64::MAX], u64::to_le_bytes)),
        ("int8", "INT8", json!([-128, 127]), vec![128, 127]),
        ("int16", "INT16", json!([-1, i16::MIN]), bytes([-1, i16::MIN], i16::to_le_bytes)),
        ("int32", "INT32", json!([-1, i32::MIN]), bytes([-1, i32::MIN], i32::to_le_bytes)),
        ("int64", "INT64", json!([-1, i64::MIN]), bytes([-1, i64::MIN], i64::to_le_bytes)),
        ("float16", "FP16", json!([0.5, -2.0]), vec![0, 0x38, 0, 0xc0]),
        ("bfloat16", "BF16", json!([0.5, -2.0]), vec![0, 0x3f, 0, 0xc0]),
        ("float", "FP32", json!([0.1, -1e30]), bytes([0.1, -1e30], f32::to_le_bytes)),
        ("double", "FP64", json!([0.1, -1e300]), bytes([0.1, -1e300], f64::to_le_bytes)),
        ("string", "BYTES", json!(["ü", ""]), b"\x02\0\0\0\xc3\xbc\0\0\0\0".to_vec()),
    ]
}

/// Asks with JSON and what follows it.
fn infer(server: &Server, model: &str, json: &Value, bytes: &[u8]) -> Reply {
    let json = json.to_string();
    let length = json.len().to_string();
    let headers = [("Inference-Header-Content-Length", &*length)];
    let target = format!("/v2/models/{model}/infer");
    server.ask("POST", &target, &headers, &[json.as_bytes(), bytes].concat())
}

/// The JSON of a 200, and what follows it.
#[track_caller]
fn parts(reply: &Reply) -> (Value, &[u8]) {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let Some(length) = reply.header("inference-header-content-length") else {
        assert_eq!(reply.header("content-type"), Some("application/json"));
        return (reply.json(), &[]);
    };
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    let (json, bytes) = reply.body.split_at(length.parse().unwrap());
    (serde_json::from_slice(json).unwrap(), bytes)
}

#[test]
fn every_datatype_goes_in_and_out_as_json_and_as_bytes() {
    let server = Server::start();
    for (name, datatype, json, bytes) in every_datatype() {
        let model = format!("identity_{name}");
        let size = bytes.len();
        let head = json!({ "name": "x", "datatype": datatype, "shape": [1, 2] });
        let with = |key: &str, value: &Value| {
            let mut input = head.clone();
            input[key] = value.clone();
            input
        };
        let nested = json!([json]);
        let inputs = [
            (with("data", &json), &[][..]),
            (with("data", &nested), &[]),
            (with("parameters", &json!({ "binary_data_size": size })), &bytes),
        ];
        for (input, behind) in &inputs {
            for binary in [false, true] {
                let request = json!({ "inputs": [input], "parameters": { "binary_data_output": binary } });
                let reply = infer(&server, &model, &request, behind);
                let (answer, sent) = parts(&reply);
                let mut output = json!({ "name": "y", "datatype": datatype, "shape": [1, 2] });
                if binary {
                    output["parameters"] = json!({ "binary_data_size": size });
                    assert_eq!(sent, bytes, "{datatype}");
                } else {
                    output["data"] = json.clone();
                }
                let expected = json!({ "model_name": model, "model_version": "1", "outputs": [output] });
                assert_eq!(answer, expected, "{datatype}");
            }
        }
        // Nothing but bytes: as long as there is one way to read them.
        let headers = [("Inference-Header-Content-Length", "0")];
        let (raw, shape) = match datatype {
            "BYTES" => ("a string".into(), json!([1, 1])),
            _ => (bytes.clone(), json!([1, 2])),
        };
        let reply = server.ask("POST", &format!("/v2/models/{model}/infer"), &headers, &raw);
        let (answer, sent) = parts(&reply);
        assert_eq!(answer["outputs"][0]["shape"], shape, "{datatype}");
        let length = u32::try_from(raw.len()).unwrap().to_le_bytes();
        let expected = if datatype == "BYTES" { [&length, &*raw].concat() } else { raw };
        assert_eq!(sent, expected, "{datatype}");
        // No elements at all.
        let none = json!({ "name": "x", "datatype": datatype, "shape": [0, 2], "data": [] });
        let reply = infer(&server, &model, &json!({ "inputs": [none] }), b"");
        let (answer, _) = parts(&reply);
        assert_eq!(
            (&answer["outputs"][0]["shape"], &answer["outputs"][0]["data"]),
            (&json!([0, 2]), &json!([]))
        );
    }
}

#[test]
fn json_and_bytes_may_be_mixed_and_each_output_has_its_own_form() {
    let server = Server::start();
    let row = |number: i32| vec![number; 16];
    let bytes: Vec<u8> = row(2).into_iter().flat_map(i32::to_le_bytes).collect();
    let a = json!({ "name": "a", "datatype": "INT32", "shape": [1, 16], "data": [row(5)] });
    let b = json!({
        "name": "b", "datatype": "INT32", "shape": [1, 16], "parameters": { "binary_data_size": 64 } });
    for inputs in [[&a, &b], [&b, &a]] {
        let request = json!({
            "id": "7",
            "inputs": inputs,
            "parameters": { "binary_data_output": true },
            "outputs": [{ "name": "difference" }, { "name": "sum", "parameters": { "binary_data": false } }],
        });
        let reply = infer(&server, "add_sub", &request, &bytes);
        let (answer, sent) = parts(&reply);
        let three: Vec<u8> = row(3).into_iter().flat_map(i32::to_le_bytes).collect();
        assert_eq!(sent, three);
        let outputs = json!([
            { "name": "difference", "datatype": "INT32", "shape": [1, 16], "parameters": { "binary_data_size": 64 } },
            { "name": "sum", "datatype": "INT32", "shape": [1, 16], "data": row(7) }]);
        assert_eq!((&answer["id"], &answer["outputs"]), (&json!("7"), &outputs));
    }
    let short = infer(&server, "add_sub", &json!({ "inputs": [a, b] }), &bytes[..63]);
    assert!(short.error(400).contains("input 'b': binary_data_size is 64, the body has 63 bytes left"));
}

#[test]
fn parameters_that_are_not_ours_are_ignored_and_ids_come_back() {
    let server = Server::start();
    let ask = |more: Value| {
        let x = json!({ "name": "measurements", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2],
            "parameters": { "color": "red", "nested": { "a": [1] } } });
        let mut request = json!({ "inputs": [x] });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parts(&infer(&server, "iris", &request, b"")).0
    };
    let plain = ask(json!({}));
    assert_eq!(plain.get("id"), None);
    let names = |answer: &Value| {
        let outputs = answer["outputs"].as_array().unwrap();
        outputs.iter().map(|output| output["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&plain), ["probabilities", "species"], "all, in the model's order");
    let parameters = json!({
        "priority": 7, "timeout": 0, "sequence_id": 3, "sequence_start": true, "triton_x": "y", "headers": null });
    assert_eq!(ask(json!({ "parameters": parameters, "outputs": [] })), plain);
    for id in ["", "0", "ä\"\\\u{1}"] {
        assert_eq!(ask(json!({ "id": id }))["id"], id);
    }
    let turned = ask(json!({ "outputs": [{ "name": "species" }, { "name": "probabilities" }] }));
    assert_eq!(names(&turned), ["species", "probabilities"]);
    assert_eq!(turned["outputs"][1], plain["outputs"][0]);
}

#[test]
fn an_output_is_answered_as_its_best_classes() {
    let server = Server::start();
    let ask = |outputs: Value| {
        let rows = json!([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]);
        let x = json!({ "name": "measurements", "datatype": "FP32", "shape": [2, 4], "data": rows });
        infer(&server, "iris", &json!({ "inputs": [x], "outputs": outputs }), b"")
    };
    let reply = ask(json!([
        { "name": "probabilities", "parameters": { "classification": 2 } },
        { "name": "species", "parameters": { "classification": 5 } }]));
    let (answer, _) = parts(&reply);
    let output = &answer["outputs"][0];
    assert_eq!((&output["datatype"], &output["shape"]), (&json!("BYTES"), &json!([2, 2])));
    let texts: Vec<Vec<&str>> = output["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap().split(':').collect())
        .collect();
    let classes: Vec<_> = texts.iter().map(|parts| (parts[1], parts[2])).collect();
    assert_eq!(classes, [("0", "setosa"), ("1", "versicolor"), ("2", "virginica"), ("1", "versicolor")]);
    // The model's own values, as C prints them.
    assert!(texts.iter().all(|parts| parts[0].len() == 8 && parts[0].starts_with("0.")), "{texts:?}");
    assert!(texts[0][0].parse::<f32>().unwrap() > 0.9);
    let species = json!({ "name": "species", "datatype": "BYTES", "shape": [2, 1], "data": ["0:0", "2:0"] });
    assert_eq!(answer["outputs"][1], species, "whole numbers, and of one element there is one class");

    let parameters = json!({ "classification": 1, "binary_data": true });
    let reply = ask(json!([{ "name": "probabilities", "parameters": parameters }]));
    let (answer, sent) = parts(&reply);
    let size = answer["outputs"][0]["parameters"]["binary_data_size"].as_u64().unwrap();
    assert_eq!((answer["outputs"][0]["datatype"].as_str(), sent.len() as u64), (Some("BYTES"), size));
    assert_eq!(&sent[..4], 17u32.to_le_bytes(), "{}", String::from_utf8_lossy(sent));
    assert!(sent[4..].starts_with(b"0.") && sent[4..21].ends_with(b":0:setosa"));

    let none = ask(json!([{ "name": "species", "parameters": { "classification": 0 } }]));
    assert!(none.error(400).contains("classification must be a number of classes, at least 1"));
    let text = json!({ "name": "x", "datatype": "BYTES", "shape": [1, 1], "data": ["a"] });
    let outputs = json!([{ "name": "y", "parameters": { "classification": 1 } }]);
    let reply = infer(&server, "identity_string", &json!({ "inputs": [text], "outputs": outputs }), b"");
    let says = "model 'identity_string': output 'y' is BYTES, and classification ranks numbers";
    assert_eq!(reply.error(400), says);
}

#[test]
fn a_large_body_may_ask_for_less_time_too() {
    let server = Server::start();
    let ask = |timeout: u32, padding: usize| {
        let rounds = json!({ "name": "rounds", "datatype": "INT64", "shape": [], "data": [2_000_000_000] });
        let x = json!({ "name": "x", "datatype": "FP32", "shape": [1, 256], "data": vec![0.5; 256] });
        let parameters = json!({ "timeout": timeout, "padding": "x".repeat(padding) });
        let begun = Instant::now();
        let request = json!({ "inputs": [rounds, x], "parameters": parameters }).to_string();
        let error = server.post("/v2/models/busy/infer", request).error(504);
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        error
    };
    // Over 64 KiB, it is read by a worker.
    for padding in [0, 100_000] {
        assert_eq!(ask(200_000, padding), "model 'busy' gave no answer within 200 ms");
    }
    assert_eq!(ask(1, 1_000_000), "model 'busy' gave no answer within 1 us");
}

#[test]
fn the_server_says_what_it_can_do() {
    let server = Server::start();
    let expected = json!({
        "name": "predictd", "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["classification", "model_configuration", "binary_tensor_data", "parameters", "statistics"] });
    for path in ["/v2", "/v2/", "/v2?x=1"] {
        assert_eq!(server.get(path).ok(), expected);
    }
}

#[test]
fn a_configuration_is_tritons_as_far_as_it_is_true() {
    let server = Server::start();
    let text = |text: &str| json!({ "string_value": text });
    let zeros = |rows: u32| {
        json!({ "name": format!("{rows} rows of zeros"), "batch_size": rows, "count": 1,
            "inputs": { "measurements": { "data_type": "TYPE_FP32", "dims": [4], "zero_data": true } } })
    };
    let config = server.get("/v2/models/iris/config").ok();
    let workers = config["instance_group"][0]["count"].as_u64().unwrap();
    assert!(workers >= 1);
    let output = |name, data_type, dims: Value, labels| json!({ "name": name, "data_type": data_type, "dims": dims, "label_filename": labels, "is_shape_tensor": false });
    let expected = json!({
        "name": "iris",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": { "latest": { "num_versions": 1 } },
        "max_batch_size": 8,
        "input": [{
            "name": "measurements", "data_type": "TYPE_FP32", "format": "FORMAT_NONE", "dims": [4],
            "is_shape_tensor": false, "allow_ragged_batch": false, "optional": false }],
        "output": [
            output("probabilities", "TYPE_FP32", json!([3]), "labels.txt"),
            output("species", "TYPE_INT64", json!([]), "")],
        "batch_input": [], "batch_output": [],
        "dynamic_batching": {
            "preferred_batch_size": [], "max_queue_delay_microseconds": 0, "preserve_ordering": false,
            "priority_levels": 0, "default_priority_level": 0,
            "default_queue_policy": {
                "timeout_action": "REJECT", "default_timeout_microseconds": 30_000_000, "allow_timeout_override": true,
                "max_queue_size": 256 },
            "priority_queue_policy": {} },
        "instance_group": [{
            "name": "iris", "kind": "KIND_CPU", "count": workers, "gpus": [], "profile": [], "passive": false,
            "host_policy": "" }],
        "parameters": { "enable_mem_arena": text("1"), "deadline": text("30s") },
        "model_warmup": [zeros(1), zeros(8)],
        "model_transaction_policy": { "decoupled": false },
    });
    assert_eq!(config, expected);
    assert_eq!(server.get("/v2/models/iris/versions/1/config?x=1").ok(), expected);
    assert_eq!(server.ask("HEAD", "/v2/models/iris/config", &[], b"").status, 200);
    // What cannot share runs has whole dimensions and no batcher.
    let config = server.get("/v2/models/fail_at_run/config").ok();
    assert_eq!((&config["max_batch_size"], config.get("dynamic_batching")), (&json!(0), None));
    assert_eq!(
        (&config["input"][0]["dims"], &config["output"][0]["dims"]),
        (&json!([-1, 3]), &json!([7, 11]))
    );
    let config = server.get("/v2/models/identity_string/config").ok();
    assert_eq!(
        (&config["input"][0]["data_type"], &config["model_warmup"]),
        (&json!("TYPE_STRING"), &json!([]))
    );
    server.get("/v2/models/none/config").error(404);
    server.get("/v2/models/iris/versions/2/config").error(404);
    server.post("/v2/models/iris/config", "").error(405);
}

#[test]
fn a_models_settings_show_in_its_configuration() {
    let models = tempfile::tempdir().unwrap();
    let half = crate::harness::read("tests/data/models/half/model.onnx");
    for version in [2, 10] {
        let folder = models.path().join(format!("half/{version}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("model.onnx"), &half).unwrap();
    }
    let settings = "deadline = '90s'\nversions = [2, 10]\n[batch]\nmax_rows = 3\nmax_delay = '2ms'\nqueue = 9\n\
        [warmup]\nrows = []\n[session]\nthreads = 2\nmemory_arena = false";
    fs::write(models.path().join("half/model.toml"), settings).unwrap();
    let server = Server::with_arguments("", |command| {
        command.arg("--model").arg(format!("two={}", models.path().join("half").display()));
    });
    let config = server.get("/v2/models/two/config").ok();
    assert_eq!(config["version_policy"], json!({ "specific": { "versions": [2, 10] } }));
    assert_eq!(config["max_batch_size"], 3);
    let batching = &config["dynamic_batching"];
    assert_eq!(batching["max_queue_delay_microseconds"], 2000);
    let policy = &batching["default_queue_policy"];
    assert_eq!(
        (&policy["default_timeout_microseconds"], &policy["max_queue_size"]),
        (&json!(90_000_000), &json!(9))
    );
    assert_eq!(config["parameters"]["intra_op_thread_count"]["string_value"], "2");
    assert_eq!(config["parameters"]["enable_mem_arena"]["string_value"], "0");
    assert_eq!(config["model_warmup"], json!([]));
    // Both versions are there; without a number the highest answers.
    assert_eq!(server.get("/v2/models/two").ok()["versions"], json!(["2", "10"]));
    let row = json!({ "name": "x", "datatype": "FP32", "shape": [1, 8], "data": vec![2.0; 8] });
    let request = json!({ "inputs": [row] }).to_string();
    for (path, version) in [("", "10"), ("/versions/2", "2"), ("/versions/10", "10")] {
        let answer = server.post(&format!("/v2/models/two{path}/infer"), &request).ok();
        assert_eq!(
            (&answer["model_version"], &answer["outputs"][0]["data"][0]),
            (&json!(version), &json!(1.0))
        );
    }
    let stats = server.get("/v2/models/two/stats").ok();
    let counts: Vec<_> = stats["model_stats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stats| (stats["version"].as_str().unwrap(), stats["inference_count"].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, [("2", 1), ("10", 2)]);
}

/// Triton answers most of these with 500.
#[test]
fn what_is_wrong_with_a_request_is_the_clients_to_know() {
    let server = Server::start();
    let x = r#"{"name":"measurements","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}"#;
    let good = format!(r#"{{"inputs":[{x}]}}"#);
    let beyond = (good.len() + 1).to_string();
    for (length, body, says) in [
        ("-1", &*good, "inference-header-content-length must be a number of bytes, got '-1'"),
        ("", &good, "must be a number of bytes, got ''"),
        (&beyond, &good, "the body has"),
        ("0", "", "0 bytes are no FP32 tensor of [-1, 4]"),
        ("2", &good, "not an inference request"),
    ] {
        let headers = [("Inference-Header-Content-Length", length)];
        let error = server.ask("POST", "/v2/models/iris/infer", &headers, body.as_bytes()).error(400);
        assert!(error.contains(says), "{length}: {error}");
    }
    for (body, says) in [
        ("", "not an inference request: EOF"),
        (r#"{"id":7,"inputs":[]}"#, "expected a string"),
        (&*format!(r#"{{"inputs":[{x},{x}]}}"#), "input 'measurements' is given twice"),
        (&good.replace("FP32", "FP31"), "unknown datatype 'FP31'"),
        (&good.replace("[1,4]", "[-1,4]"), "a dimension must be a whole number from 0"),
        (
            &good.replace("}]", r#"}],"parameters":{"timeout":-5}"#),
            "timeout, in microseconds, must be a whole number",
        ),
        (
            &good.replace("}]", r#"}],"outputs":[{"name":"species"},{"name":"species"}]"#),
            "output 'species' is given twice",
        ),
    ] {
        let error = server.post("/v2/models/iris/infer", body).error(400);
        assert!(error.contains(says), "{body}: {error}");
    }
    for path in [
        "/v2/models/iris/versions/one",
        "/v2/models/iris/versions/-1/ready",
        "/v2/models/iris/versions/2/infer",
    ] {
        let method = if path.ends_with("infer") { "POST" } else { "GET" };
        assert!(server.ask(method, path, &[], good.as_bytes()).error(404).contains("it has 1"), "{path}");
    }
}
