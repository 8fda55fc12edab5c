//! All that a tensor can be: every datatype, no elements, no dimensions, strings of any bytes, odd names and shapes, and what
//! is no tensor at all; in every form.

use crate::{
    harness::Server,
    infer::{FORMS, Form, Tensor, infer, outputs, predict, to_bytes},
};
use serde_json::{Value, json};
use std::slice::from_ref;

/// Asks in every form of `/v2`, which must all give the same.
#[track_caller]
fn infer_in_all_forms(server: &Server, model: &str, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut answers = FORMS.map(|form| (form, outputs(&infer(server, model, form, inputs)))).into_iter();
    let (_, first) = answers.next().unwrap();
    for (form, answer) in answers {
        assert_eq!(answer, first, "{model} by {form:?}");
    }
    first
}

/// The outputs of all rows that `/predict` gives, or of the one result that knows none.
#[track_caller]
fn predicted(server: &Server, model: &str, inputs: &[Tensor]) -> Vec<Value> {
    let answer = predict(server, model, inputs).ok();
    answer["results"].as_array().unwrap().iter().map(|result| result["outputs"].clone()).collect()
}

#[test]
fn every_datatype_and_its_extremes_go_through_every_form() {
    let server = Server::start();
    for (model, datatype, data) in [
        ("identity_bool", "BOOL", json!([true, false])),
        ("identity_uint8", "UINT8", json!([0, u8::MAX])),
        ("identity_uint16", "UINT16", json!([0, u16::MAX])),
        ("identity_uint32", "UINT32", json!([0, u32::MAX])),
        ("identity_uint64", "UINT64", json!([0, u64::MAX])),
        ("identity_int8", "INT8", json!([i8::MIN, i8::MAX])),
        ("identity_int16", "INT16", json!([i16::MIN, i16::MAX])),
        ("identity_int32", "INT32", json!([i32::MIN, i32::MAX])),
        ("identity_int64", "INT64", json!([i64::MIN, i64::MAX])),
        ("identity_float16", "FP16", json!([-65504.0, 0.0009765625])),
        ("identity_bfloat16", "BF16", json!([-3.0, 0.0078125])),
        ("identity_float", "FP32", json!([-0.15625, 16_777_215.0])),
        ("identity_double", "FP64", json!([f64::MIN_POSITIVE, -1.7976931348623157e308])),
        ("identity_string", "BYTES", json!(["", "ü\n\"🦀"])),
    ] {
        for shape in [[1, 2], [2, 1]] {
            let x = Tensor::new("x", datatype, &shape, data.clone());
            let y = Tensor { name: "y".into(), ..x.clone() };
            let rows: Vec<Value> =
                y.nested().as_array().unwrap().iter().map(|row| json!({ "y": row })).collect();
            assert_eq!(infer_in_all_forms(&server, model, from_ref(&x)), [y]);
            assert_eq!(predicted(&server, model, &[x]), rows, "{model}");
        }
        for shape in [[0, 2], [2, 0], [0, 0]] {
            let x = Tensor::new("x", datatype, &shape, json!([]));
            let y = Tensor { name: "y".into(), ..x.clone() };
            assert_eq!(infer_in_all_forms(&server, model, from_ref(&x)), [y]);
            let rows = vec![json!({ "y": [] }); shape[0]];
            assert_eq!(predicted(&server, model, &[x]), rows, "{model}");
        }
    }
}

#[test]
fn a_value_that_is_not_of_the_datatype_is_refused() {
    let server = Server::start();
    for (model, datatype, data) in [
        ("identity_bool", "BOOL", json!([1])),
        ("identity_uint8", "UINT8", json!([256])),
        ("identity_int16", "INT16", json!([-32769])),
        ("identity_int64", "INT64", json!([1.5])),
        ("identity_float16", "FP16", json!([65520])),
        ("identity_float", "FP32", json!([null])),
        ("identity_string", "BYTES", json!([1])),
    ] {
        let x = Tensor::new("x", datatype, &[1, 1], data);
        for reply in [infer(&server, model, Form::Json, from_ref(&x)), predict(&server, model, &[x])] {
            assert!(reply.error(400).contains(&format!("is not a value of {datatype}")));
        }
    }
    let head =
        r#"{"inputs":[{"name":"x","datatype":"BOOL","shape":[1,2],"parameters":{"binary_data_size":2}}]}"#;
    let length = head.len().to_string();
    let headers = [("Inference-Header-Content-Length", &*length)];
    let body = [head.as_bytes(), &[1, 2]].concat();
    let error = server.ask("POST", "/v2/models/identity_bool/infer", &headers, &body).error(400);
    assert_eq!(error, "model 'identity_bool': input 'x': a BOOL element is 2, not 0 or 1");
}

/// A request for `x`, in bytes.
fn with_strings(strings: &[&[u8]], parameters: &str) -> (usize, Vec<u8>) {
    let of = |string: &&[u8]| [&u32::try_from(string.len()).unwrap().to_le_bytes(), *string].concat();
    let bytes: Vec<u8> = strings.iter().flat_map(of).collect();
    let head = format!(
        r#"{{"inputs":[{{"name":"x","datatype":"BYTES","shape":[1,{}],"parameters":{{"binary_data_size":{}}}}}]{parameters}}}"#,
        strings.len(),
        bytes.len()
    );
    (head.len(), [head.as_bytes(), &bytes].concat())
}

#[test]
fn strings_are_any_bytes_where_the_form_has_a_way_to_say_them() {
    let server = Server::start();
    let every_byte: Vec<u8> = (0..=255).collect();
    let strings: [&[u8]; 4] = [b"a\0b", b"\xff\xfe", b"", &every_byte];
    let ask = |parameters| {
        let (length, body) = with_strings(&strings, parameters);
        let length = length.to_string();
        let headers = [("Inference-Header-Content-Length", &*length)];
        server.ask("POST", "/v2/models/identity_string/infer", &headers, &body)
    };
    let bytes = ask(r#","parameters":{"binary_data_output":true}"#);
    let of = |string: &&[u8]| [&u32::try_from(string.len()).unwrap().to_le_bytes(), *string].concat();
    assert!(bytes.status == 200 && bytes.body.ends_with(&strings.iter().flat_map(of).collect::<Vec<_>>()));
    // A NUL is text; what is no UTF-8 has to be asked for as bytes.
    assert_eq!(
        ask("").error(400),
        "model 'identity_string': output 'y': element 1 is not UTF-8, which JSON cannot carry; \
         ask for it as bytes, by \"parameters\": {\"binary_data\": true}"
    );
    let body = r#"{"inputs":{"x":[["a\u0000b",{"b64":"//4="}]]}}"#;
    let answer = server.post("/predict/identity_string", body).ok();
    assert_eq!(answer["results"][0]["outputs"]["y"], json!(["a\0b", { "b64": "//4=" }]));
    let body = r#"{"instances":[["a\u0000b",{"b64":"//4"}]]}"#;
    let answer = server.post("/v1/models/identity_string:predict", body).ok();
    assert_eq!(answer["predictions"], json!([["a\0b", { "b64": "//4=" }]]));
    // Bytes alone are one string.
    let headers = [("Inference-Header-Content-Length", "0")];
    let answer = server.ask("POST", "/v2/models/identity_string/infer", &headers, b"\xff\0");
    assert!(answer.body.ends_with(b"\x02\0\0\0\xff\0"), "{answer:?}");
}

#[test]
fn scalars_go_in_and_come_out() {
    let server = Server::start();
    let scalar = |name, datatype, value: Value| Tensor::new(name, datatype, &[], json!([value]));
    let inputs = [
        scalar("text", "BYTES", "ü".into()),
        scalar("b", "FP32", 2.5.into()),
        scalar("a", "FP32", 1.25.into()),
    ];
    assert_eq!(
        infer_in_all_forms(&server, "scalars", &inputs),
        [
            scalar("sum", "FP32", 3.75.into()),
            scalar("greater", "BOOL", false.into()),
            scalar("twice", "BYTES", "üü".into()),
        ]
    );
    let expected = json!({ "sum": 3.75, "greater": false, "twice": "üü" });
    assert_eq!(predicted(&server, "scalars", &inputs), from_ref(&expected));
    let body = json!({ "inputs": { "a": 1.25, "b": 2.5, "text": "ü" } }).to_string();
    assert_eq!(server.post("/v1/models/scalars:predict", &body).ok()["outputs"], expected);
    // The protocol has a flat list for them too.
    let body = r#"{"inputs":[{"name":"a","shape":[],"datatype":"FP32","data":1.25},
        {"name":"b","shape":[],"datatype":"FP32","data":[2.5]},{"name":"text","shape":[],"datatype":"BYTES","data":"ü"}]}"#;
    assert_eq!(server.post("/v2/models/scalars/infer", body).ok()["outputs"][0]["data"], json!([3.75]));
    let error =
        infer(&server, "scalars", Form::Json, &[Tensor::new("a", "FP32", &[1], json!([1]))]).error(400);
    assert!(error.contains("input 'a' must be of shape [], got [1]"), "{error}");
}

#[test]
fn no_rows_are_answered_with_none() {
    let server = Server::start();
    let none = |name, datatype, shape: &[usize]| Tensor::new(name, datatype, shape, json!([]));
    for (model, inputs, expected) in [
        (
            "iris",
            vec![none("measurements", "FP32", &[0, 4])],
            vec![none("probabilities", "FP32", &[0, 3]), none("species", "INT64", &[0])],
        ),
        (
            "digits",
            vec![none("image", "FP32", &[0, 1, 28, 28])],
            vec![none("probabilities", "FP32", &[0, 10]), none("digit", "INT64", &[0])],
        ),
        (
            "add_sub",
            vec![none("a", "INT32", &[0, 16]), none("b", "INT32", &[0, 16])],
            vec![none("sum", "INT32", &[0, 16]), none("difference", "INT32", &[0, 16])],
        ),
        (
            "string_join",
            vec![none("a", "BYTES", &[0]), none("b", "BYTES", &[0])],
            vec![none("joined", "BYTES", &[0])],
        ),
        (
            "classifier",
            vec![none("x", "FP32", &[0, 2])],
            vec![none("label", "INT64", &[0]), none("probabilities", "BYTES", &[0])],
        ),
        ("sequence", vec![none("x", "FP32", &[0, 2])], vec![none("rows", "BYTES", &[0])]),
        ("nonzero", vec![none("x", "FP32", &[0, 3])], vec![none("places", "INT64", &[2, 0])]),
    ] {
        // Beside others, with which they must not be joined.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(infer_in_all_forms(&server, model, &inputs), expected));
            }
        });
        let answer = predict(&server, model, &inputs).ok();
        match model {
            "nonzero" => assert_eq!(answer["results"][0]["outputs"]["places"], json!([[], []])),
            _ => assert_eq!(answer["results"], json!([]), "{model}"),
        }
    }
    // Some rows, and nothing of them.
    let zeros = Tensor::new("x", "FP32", &[2, 2], json!([0, 0, 0, 0]));
    assert_eq!(infer_in_all_forms(&server, "nonzero", &[zeros]), [none("places", "INT64", &[2, 0])]);
}

#[test]
fn an_empty_tensor_may_not_claim_more_than_can_be_told() {
    let server = Server::start();
    for shape in
        ["[4611686018427387904,0]", "[16777217,0]", "[0,18446744073709551615]", "[4611686018427387904,4,0]"]
    {
        let body = format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":{shape},"data":[]}}]}}"#);
        let error = server.post("/v2/models/identity_float/infer", body).error(400);
        assert!(error.contains("too many elements"), "{shape}: {error}");
    }
}

#[test]
fn names_and_dimensions_may_be_spelled_in_any_way() {
    let server = Server::start();
    let row = |name| Tensor::new(name, "FP32", &[1, 2], json!([1.0, 2.0]));
    let twice = Tensor::new("387", "FP32", &[1, 2], json!([2.0, 4.0]));
    assert_eq!(infer_in_all_forms(&server, "odd_names", &[row("gpu_0/data.0:0")]), [twice]);
    assert_eq!(predicted(&server, "odd_names", &[row("gpu_0/data.0:0")]), [json!({ "387": [2.0, 4.0] })]);
    let metadata = server.get("/v2/models/dynamic_dims").ok();
    for input in metadata["inputs"].as_array().unwrap() {
        assert_eq!(input["shape"], json!([-1, 2]), "{input}");
    }
    let inputs = ["negative", "named", "unnamed"].map(row);
    let sum = Tensor::new("sum", "FP32", &[1, 2], json!([3.0, 6.0]));
    assert_eq!(infer_in_all_forms(&server, "dynamic_dims", &inputs), [sum]);
    assert_eq!(predicted(&server, "dynamic_dims", &inputs), [json!({ "sum": [3.0, 6.0] })]);
}

#[test]
fn an_input_may_have_any_number_of_dimensions() {
    let server = Server::start();
    for (shape, data) in [(&[][..], json!([1.5])), (&[2], json!([1.5, -2.0])), (&[1, 2], json!([1.5, -2.0]))]
    {
        let x = Tensor::new("x", "FP32", shape, data);
        let y = Tensor { name: "y".into(), ..x.clone() };
        assert_eq!(infer_in_all_forms(&server, "any_rank", from_ref(&x)), from_ref(&y));
        assert_eq!(predicted(&server, "any_rank", &[x]), [json!({ "y": y.nested() })]);
    }
    let config = server.get("/v2/models/any_rank/config").ok();
    assert_eq!(config["model_warmup"], json!([]), "there was nothing to run it on");
    let metadata = server.get("/v1/models/any_rank/metadata").ok();
    let x = &metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"];
    assert_eq!(x["tensor_shape"], json!({ "dim": [], "unknown_rank": true }));
}

#[test]
fn an_output_has_the_shape_it_has_whatever_was_declared() {
    let server = Server::start();
    for shape in [[1, 4], [2, 2], [4, 1]] {
        let inputs = [
            Tensor::new("x", "FP32", &[4], json!([1.0, 2.0, 3.0, 4.0])),
            Tensor::new("shape", "INT64", &[2], json!(shape)),
        ];
        let y = Tensor::new("y", "FP32", &shape, inputs[0].data.clone().into());
        assert_eq!(infer_in_all_forms(&server, "other_shape", &inputs), from_ref(&y));
        assert_eq!(predicted(&server, "other_shape", &inputs), [json!({ "y": y.nested() })]);
    }
    let wrong = [
        Tensor::new("x", "FP32", &[4], json!([1.0, 2.0, 3.0, 4.0])),
        Tensor::new("shape", "INT64", &[2], json!([3, 3])),
    ];
    infer(&server, "other_shape", Form::Bytes, &wrong).error(500);
}

#[test]
fn an_output_may_be_the_input_itself() {
    let server = Server::start();
    for columns in [2, 50_000] {
        let data: Vec<f64> = (0..columns).map(|number| f64::from(number) / 4.0).collect();
        let x = Tensor::new("x", "FP32", &[1, data.len()], json!(data));
        let negative = data.iter().map(|number| -number).collect::<Vec<_>>();
        for form in FORMS {
            let answer = outputs(&infer(&server, "pass_through", form, from_ref(&x)));
            assert_eq!(answer[0], x, "{form:?}");
            assert_eq!(
                to_bytes("FP32", &answer[1].data),
                to_bytes("FP32", json!(negative).as_array().unwrap())
            );
        }
    }
}

#[test]
fn an_optional_output_that_is_left_out_is_said_to_be() {
    let server = Server::start();
    let asked = |give: bool| {
        [Tensor::new("x", "FP32", &[2], json!([1.0, 2.0])), Tensor::new("give", "BOOL", &[], json!([give]))]
    };
    let y = Tensor::new("y", "FP32", &[2], json!([1.0, 2.0]));
    assert_eq!(infer_in_all_forms(&server, "optional", &asked(true)), [y]);
    let error = infer(&server, "optional", Form::Json, &asked(false)).error(500);
    assert_eq!(error, "model 'optional' failed: output 'y' is optional, and the model gave none");
}

/// What a text of JSON says.
fn document(text: &Value) -> Value {
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

#[test]
fn maps_are_json_in_every_language() {
    let server = Server::start();
    let outputs_of = |model: &str| server.get(&format!("/v2/models/{model}")).ok()["outputs"].clone();
    assert_eq!(
        outputs_of("classifier"),
        json!([
            { "name": "label", "datatype": "INT64", "shape": [-1] },
            { "name": "probabilities", "datatype": "BYTES", "shape": [-1] }])
    );
    for (model, labels) in [("classifier", json!([11, 8])), ("classifier_of_names", json!(["ant", "bee"]))] {
        let x = [Tensor::new("x", "FP32", &[2, 2], json!([1.0, 2.0, 3.0, -1.0]))];
        let answer = infer_in_all_forms(&server, model, &x);
        assert_eq!(Value::from(answer[0].data.clone()), labels);
        assert_eq!((answer[1].datatype, &answer[1].shape[..]), ("BYTES", &[2][..]));
        let maps: Vec<Value> = answer[1].data.iter().map(document).collect();
        for (map, label) in maps.iter().zip(labels.as_array().unwrap()) {
            let map = map.as_object().unwrap();
            let best =
                map.iter().max_by(|a, b| a.1.as_f64().unwrap().total_cmp(&b.1.as_f64().unwrap())).unwrap();
            assert_eq!(*best.0, label.as_str().map_or_else(|| label.to_string(), str::to_owned));
            let sum: f64 = map.values().map(|value| value.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{map:?}");
        }
        let rows: Vec<Value> =
            (0..2).map(|row| json!({ "label": labels[row], "probabilities": maps[row] })).collect();
        assert_eq!(predicted(&server, model, &x), rows);
        let path = format!("/v1/models/{model}:predict");
        let instances = json!({ "instances": [[1.0, 2.0], [3.0, -1.0]] }).to_string();
        assert_eq!(server.post(&path, &instances).ok()["predictions"], json!(rows));
        let inputs = json!({ "inputs": [[1.0, 2.0], [3.0, -1.0]] }).to_string();
        assert_eq!(
            server.post(&path, &inputs).ok()["outputs"],
            json!({ "label": labels, "probabilities": maps })
        );
        // By name, alone.
        let body = json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [2, 2], "data": x[0].data }],
            "outputs": [{ "name": "probabilities" }] });
        let selected = server.post(&format!("/v2/models/{model}/infer"), body.to_string()).ok();
        assert_eq!(selected["outputs"].as_array().unwrap().len(), 1);
        assert_eq!(selected["outputs"][0]["data"], json!(answer[1].data));
    }
    // The order of the keys is the model's.
    let text = server.post("/predict/classifier", "[[1, 2]]").body;
    let text = String::from_utf8(text).unwrap();
    let places = (0..12).map(|class| text.find(&format!("\"{class}\":")).unwrap()).collect::<Vec<_>>();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn sequences_of_tensors_are_lists() {
    let server = Server::start();
    let x = [Tensor::new("x", "FP32", &[2, 3], json!([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))];
    let answer = infer_in_all_forms(&server, "sequence", &x);
    assert_eq!(answer, [Tensor::new("rows", "BYTES", &[2], json!(["[1.0,2.0,3.0]", "[4.0,5.0,6.0]"]))]);
    let rows = [json!({ "rows": [1.0, 2.0, 3.0] }), json!({ "rows": [4.0, 5.0, 6.0] })];
    assert_eq!(predicted(&server, "sequence", &x), rows);
}

#[test]
fn what_is_not_finite_in_a_document_is_as_its_language_has_it() {
    let server = Server::start();
    // By `/v1` alone can such a number come as JSON.
    let ask = |body: &str| server.post("/v1/models/sequence:predict", body);
    let answer = ask(r#"{"instances": [[NaN, -Infinity]]}"#);
    assert_eq!(answer.body, br#"{"predictions":[[NaN,-Infinity]]}"#);
    let head =
        r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}"#;
    let numbers = [f32::NAN, 0.5].map(f32::to_le_bytes).concat();
    let length = head.len().to_string();
    let headers = [("Inference-Header-Content-Length", &*length)];
    let body = [head.as_bytes(), &numbers].concat();
    let answer = server.ask("POST", "/v2/models/sequence/infer", &headers, &body).ok();
    assert_eq!(answer["outputs"][0]["data"], json!(["[null,0.5]"]));
}

/// The trial has found that rows of documents are rows, so that requests share runs; each gets its own back.
#[test]
fn rows_of_documents_are_joined_and_split() {
    let server = Server::with("[workers]\ncount = 1\n[defaults.batch]\nmax_rows = 16\nmax_delay = '20ms'");
    server.process.wait_for_line("model=classifier version=1 batches=true");
    server.process.wait_for_line("model=sequence version=1 batches=true");
    let alone: Vec<Value> =
        (0..12).map(|row| predicted(&server, "classifier", &[point(row)])[0].clone()).collect();
    std::thread::scope(|scope| {
        for (row, alone) in alone.iter().enumerate() {
            let server = &server;
            scope.spawn(move || {
                for _ in 0..10 {
                    let together = &predicted(server, "classifier", &[point(row)])[0];
                    assert_eq!(together["label"], alone["label"]);
                    for (class, probability) in alone["probabilities"].as_object().unwrap() {
                        let other = together["probabilities"][class].as_f64().unwrap();
                        assert!((other - probability.as_f64().unwrap()).abs() < 1e-5, "{class}: {together}");
                    }
                }
            });
        }
    });
    let joined = (2..=12).any(|rows| server.process.has_line(&format!("batch_rows={rows}")));
    assert!(joined, "no run had rows of several requests");
}

fn point(row: usize) -> Tensor {
    Tensor::new("x", "FP32", &[1, 2], json!([row as f64 / 4.0 - 1.0, 1.0 - row as f64 / 3.0]))
}
