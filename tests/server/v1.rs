//! TensorFlow Serving's requests, and KServe's of its first version.

use crate::{
    harness::{Nginx, Pass, Reply, Server, read},
    wires,
};
use predictd_protocol::gateway::detect::Wire;
use serde_json::{Value, json};

const ROW: &str = r#"{"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}"#;

fn text(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    String::from_utf8(reply.body.clone()).unwrap()
}

#[test]
fn rows_are_predicted_by_every_wire_and_through_nginx() {
    let server = Server::start();
    let check = |answer: Value| {
        let predictions = answer["predictions"].as_array().unwrap();
        let species: Vec<_> = predictions.iter().map(|row| &row["species"]).collect();
        assert_eq!(species, [&json!(0), &json!(2)], "{answer}");
        assert_eq!(predictions[0]["probabilities"].as_array().unwrap().len(), 3);
        assert_eq!(answer.as_object().unwrap().len(), 1);
    };
    for target in ["/v1/models/iris:predict", "/v1/models/iris/versions/1:predict"] {
        for wire in Wire::ALL {
            check(wires::ask(&server, wire, "POST", target, &[], ROW.as_bytes()).ok());
        }
        // The colon may come encoded: it is the same path.
        let encoded = target.replace(':', "%3A");
        check(wires::ask(&server, Wire::Http, "POST", &encoded, &[], ROW.as_bytes()).ok());
        for pass in [Pass::Uwsgi, Pass::FastCgi, Pass::Http] {
            let nginx = Nginx::by(&server, pass);
            let headers = [("Content-Type", "application/json")];
            for target in [target, &encoded] {
                check(nginx.ask("POST", target, &headers, ROW.as_bytes()).ok());
            }
        }
    }
}

#[test]
fn an_answer_has_the_format_of_its_request() {
    let server = Server::start();
    let predict =
        |model: &str, body: Value| server.post(&format!("/v1/models/{model}:predict"), body.to_string()).ok();
    let eight = json!([2, 4, 6, 8, 10, 12, 14, 16]);
    let half = json!([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    // One output goes without its name, and an only input may.
    for instances in [json!([eight, eight]), json!([{ "x": eight }, { "x": eight }])] {
        let body = json!({ "signature_name": "serving_default", "instances": instances });
        assert_eq!(predict("half", body), json!({ "predictions": [half, half] }));
    }
    for inputs in [json!([eight]), json!({ "x": [eight] })] {
        assert_eq!(predict("half", json!({ "inputs": inputs })), json!({ "outputs": [half] }));
    }
    // Several have names, by row and by column.
    let sixteen = |number: i32| json!(vec![number; 16]);
    let row = json!({ "a": sixteen(5), "b": sixteen(3) });
    assert_eq!(
        predict("add_sub", json!({ "instances": [row, row] })),
        json!({ "predictions": vec![json!({ "sum": sixteen(8), "difference": sixteen(2) }); 2] })
    );
    assert_eq!(
        predict("add_sub", json!({ "inputs": { "a": [sixteen(5)], "b": [sixteen(3)] } })),
        json!({ "outputs": { "sum": [sixteen(8)], "difference": [sixteen(2)] } })
    );
    // Strings as text or base64.
    let row = |a: Value| json!({ "a": a, "b": "x" });
    let instances = json!([row(json!("1")), row(json!({ "b64": "w7w=" }))]);
    assert_eq!(
        predict("string_join", json!({ "instances": instances })),
        json!({ "predictions": ["1x", "üx"] })
    );
}

#[test]
fn numbers_that_json_does_not_have_are_tokens() {
    let server = Server::start();
    let body = r#"{"instances": [[NaN, Infinity, -Infinity, 1.5]]}"#;
    let reply = server.post("/v1/models/identity_float:predict", body);
    assert_eq!(text(&reply), r#"{"predictions":[[NaN,Infinity,-Infinity,1.5]]}"#);
}

/// Read and printed by a worker.
#[test]
fn a_large_body_is_answered_row_by_row() {
    let server = Server::start();
    let rows: Vec<_> = (0..20_000).map(|row| json!([row, 0, 0, 0, 0, 0, 0, -row])).collect();
    let body = json!({ "instances": rows }).to_string();
    assert!(body.len() > 256 << 10);
    let answer = server.post("/v1/models/half:predict", &body).ok();
    let predictions = answer["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), rows.len());
    for (row, prediction) in predictions.iter().enumerate() {
        let half = row as f64 / 2.0;
        assert_eq!((&prediction[0], &prediction[7]), (&json!(half), &json!(-half)), "{row}");
    }
}

#[test]
fn a_models_state_is_what_both_kinds_of_clients_look_for() {
    let server = Server::start();
    let version = json!({
        "version": "1", "state": "AVAILABLE", "status": { "error_code": "OK", "error_message": "" },
    });
    let expected = json!({ "name": "iris", "ready": true, "model_version_status": [version] });
    for target in ["/v1/models/iris", "/v1/models/iris/versions/1"] {
        assert_eq!(server.get(target).ok(), expected, "{target}");
        let head = server.ask("HEAD", target, &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0), "{target}");
        assert_eq!(head.header("content-length"), Some(&*server.get(target).body.len().to_string()));
    }
    let models = server.get("/v1/models").ok();
    let names: Vec<_> =
        models["models"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.contains(&"iris") && names.contains(&"digits"), "{models}");
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{models}");
}

#[test]
fn metadata_is_the_signature_in_tensorflows_words() {
    let server = Server::start();
    let expected = json!({
        "model_spec": { "name": "iris", "signature_name": "", "version": "1" },
        "metadata": { "signature_def": { "signature_def": { "serving_default": {
            "inputs": { "measurements": { "name": "measurements", "dtype": "DT_FLOAT", "tensor_shape": {
                "dim": [{ "size": "-1", "name": "" }, { "size": "4", "name": "" }], "unknown_rank": false } } },
            "outputs": {
                "probabilities": { "name": "probabilities", "dtype": "DT_FLOAT", "tensor_shape": {
                    "dim": [{ "size": "-1", "name": "" }, { "size": "3", "name": "" }], "unknown_rank": false } },
                "species": { "name": "species", "dtype": "DT_INT64", "tensor_shape": {
                    "dim": [{ "size": "-1", "name": "" }], "unknown_rank": false } } },
            "method_name": "tensorflow/serving/predict",
        } } } },
    });
    for target in ["/v1/models/iris/metadata", "/v1/models/iris/versions/1/metadata"] {
        assert_eq!(server.get(target).ok(), expected, "{target}");
    }
}

#[test]
fn what_is_wrong_is_said_in_the_form_that_clients_know() {
    let server = Server::start();
    let predict = "/v1/models/iris:predict";
    for (target, body, status, says) in [
        (predict, "", 400, "model 'iris': the body is not a predict request: "),
        (predict, "{}", 400, "model 'iris': the body has neither of `instances` and `inputs`"),
        (predict, r#"{"instances": []}"#, 400, "model 'iris': `instances` is empty"),
        (predict, r#"{"instances": [[1, 2], [3]]}"#, 400, "input 'measurements': the lists are ragged"),
        (predict, r#"{"instances": [[1, 2, 3]]}"#, 400, "must be of shape [-1, 4], got [1, 3]"),
        (
            predict,
            r#"{"instances": [{"x": 1}]}"#,
            400,
            "model 'iris' has no input 'x'; it has 'measurements'",
        ),
        (predict, r#"{"inputs": {"measurements": ["a"]}}"#, 400, "a string is not a value of FP32"),
        (
            "/v1/models/add_sub:predict",
            r#"{"instances": [1]}"#,
            400,
            "model 'add_sub': the model has 2 inputs",
        ),
        ("/v1/models/none:predict", ROW, 404, "there is no model 'none'"),
        ("/v1/models/iris/versions/9:predict", ROW, 404, "model 'iris' has no version 9; it has 1"),
        ("/v1/models/iris/labels/canary:predict", ROW, 404, "has no version of the label 'canary'"),
        ("/v1/models/iris:classify", ROW, 404, "model 'iris' does not classify: there is only :predict"),
        ("/v1/models/iris/versions/1:regress", ROW, 404, "model 'iris' does not regress"),
        ("/v1/models/iris:explain", ROW, 404, "model 'iris' does not explain"),
        ("/v1/models/iris:", ROW, 404, "there is only :predict"),
        ("/v1/models/iris/predict", ROW, 404, "there is nothing at /v1/models/iris/predict"),
        (
            "/v1/models/fail_at_run:predict",
            r#"{"instances": [[1, 2, 3]]}"#,
            500,
            "model 'fail_at_run' failed: ",
        ),
    ] {
        let error = server.post(target, body).error(status);
        assert!(error.contains(says), "{target} {body}: {error}");
    }
    for (method, target, allow) in [
        ("GET", predict, "POST"),
        ("PUT", "/v1/models/iris/versions/1:predict", "POST"),
        ("POST", "/v1/models/iris", "GET,HEAD"),
        ("POST", "/v1/models/iris/versions/1", "GET,HEAD"),
        ("POST", "/v1/models", "GET,HEAD"),
        ("POST", "/v1/models/iris/metadata", "GET,HEAD"),
    ] {
        let reply = server.ask(method, target, &[], b"");
        assert!(reply.error(405).contains(&format!("does not take {method}")), "{target}");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {target}");
    }
    let reply = wires::ask(&server, Wire::Http, "POST", "/v1/models/%FF:predict", &[], b"");
    assert!(reply.error(400).contains("the path cannot be read"));
}

#[test]
fn every_version_is_asked_by_its_number() {
    let models = tempfile::tempdir().unwrap();
    for version in ["1", "3"] {
        let folder = models.path().join("half").join(version);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("model.onnx"), read("tests/data/models/half/model.onnx")).unwrap();
    }
    std::fs::write(models.path().join("half/model.toml"), "versions = 'all'").unwrap();
    let server = Server::with_arguments("", |command| {
        command.arg("--model").arg(format!("half={}", models.path().join("half").display()));
    });
    let body = r#"{"instances": [[2, 2, 2, 2, 2, 2, 2, 2]]}"#;
    for at in ["", "/versions/1", "/versions/3"] {
        server.post(&format!("/v1/models/half{at}:predict"), body).ok();
    }
    let versions = |target: &str| {
        let status = server.get(target).ok();
        let versions = status["model_version_status"].as_array().unwrap();
        versions.iter().map(|version| version["version"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(versions("/v1/models/half"), ["3", "1"]);
    assert_eq!(versions("/v1/models/half/versions/1"), ["1"]);
    let names = server.get("/v1/models").ok();
    let half = names["models"].as_array().unwrap().iter().filter(|name| **name == "half").count();
    assert_eq!(half, 1, "{names}");
}
