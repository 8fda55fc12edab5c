//! Every model that has golden answers (tests/data/README.md) gives them, in every form: those in the repository, and, where
//! `scripts/setup.sh models` has brought them, real ones.

mod inputs;
mod mlp;

use crate::{
    harness::{Server, read, source},
    infer::{FORMS, Form, Tensor, infer, outputs, predict},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// A file of golden answers.
#[derive(Deserialize)]
struct Golden {
    model: String,
    sha256: String,
    rtol: f64,
    atol: f64,
    cases: Vec<Value>,
}

/// How near is near enough.
#[derive(Clone, Copy)]
struct Tolerance {
    rtol: f64,
    atol: f64,
}

impl Tolerance {
    fn close(self, got: f64, wanted: f64) -> bool {
        (got - wanted).abs() <= self.atol + self.rtol * wanted.abs()
    }

    /// Of sums, whose errors add up.
    fn of_sum(self, elements: usize) -> Self {
        Self { atol: self.atol * (elements as f64).sqrt(), ..self }
    }
}

/// Models that are in the repository, by the folder that has them.
const KEPT: [&str; 2] = ["models", "tests/data/models"];

/// Where the others are once they have been fetched, or made.
fn fetched() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("models")
}

fn goldens() -> Vec<Golden> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(source("tests/data/golden")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    files.iter().map(|file| serde_json::from_slice(&fs::read(file).unwrap()).unwrap()).collect()
}

fn is_kept(golden: &Golden) -> bool {
    let is_in = |folder: &&str| source(folder).join(&golden.model).join("model.onnx").is_file();
    // Someone may have fetched others into the samples.
    !["efficientnet", "magika"].contains(&&*golden.model) && KEPT.iter().any(is_in)
}

#[test]
fn models_of_the_repository_give_their_golden_answers() {
    let goldens: Vec<_> = goldens().into_iter().filter(is_kept).collect();
    assert!(goldens.len() >= 13, "{}", goldens.len());
    let server = Server::start();
    goldens.iter().for_each(|golden| check(&server, golden));
}

#[test]
#[ignore = "needs models that are fetched: scripts/setup.sh models"]
fn golden_answers_of_fetched_models() {
    let goldens: Vec<_> = goldens().into_iter().filter(|golden| !is_kept(golden)).collect();
    let names: BTreeSet<&str> = goldens.iter().map(|golden| &*golden.model).collect();
    assert!(names.len() >= 14, "{names:?}");
    mlp::write(&fetched().join("mlp"));
    for golden in &goldens {
        let path = fetched().join(&golden.model).join("model.onnx");
        let bytes = fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; scripts/setup.sh models brings it", path.display()));
        let sha256: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256, golden.sha256, "{}", path.display());
    }
    let server = Server::with_arguments("", |command| {
        for name in &names {
            command.arg("--model").arg(format!("{name}={}", fetched().join(name).display()));
        }
    });
    goldens.iter().for_each(|golden| check(&server, golden));
}

/// Asks for every case in every form.
fn check(server: &Server, golden: &Golden) {
    let Golden { model, rtol, atol, .. } = golden;
    let tolerance = Tolerance { rtol: *rtol, atol: *atol };
    assert!(!golden.cases.is_empty());
    for case in &golden.cases {
        let about = format!("{model}, {}", case["name"]);
        if let Some(speech) = case["speech"].as_str() {
            for form in [Form::Json, Form::Bytes] {
                chain(server, model, form, speech, case, tolerance);
            }
            continue;
        }
        let Some(tensors) = inputs::of(case) else {
            picture(server, model, case, &about);
            continue;
        };
        if case["error"].is_string() {
            for form in FORMS {
                infer(server, model, form, &tensors).error(500);
            }
            predict(server, model, &tensors).error(500);
            continue;
        }
        for form in FORMS {
            let answer = outputs(&infer(server, model, form, &tensors));
            assert_eq!(answer.len(), case["outputs"].as_object().unwrap().len(), "{about}");
            for output in &answer {
                let about = format!("{about}, {} by {form:?}", output.name);
                compare(output, &case["outputs"][&output.name], tolerance, &about);
            }
        }
        friendly(server, model, case, &tensors, tolerance, &about);
    }
}

/// By `/predict`: the rows of all results put together, or the best class of each.
fn friendly(
    server: &Server,
    model: &str,
    case: &Value,
    inputs: &[Tensor],
    tolerance: Tolerance,
    about: &str,
) {
    let answer = predict(server, model, inputs).ok();
    let results = answer["results"].as_array().unwrap();
    if results[0]["classes"].is_array() {
        let labels: Value = results.iter().map(|result| result["classes"][0]["label"].clone()).collect();
        return assert_eq!(labels, labelled(case), "{about}");
    }
    for (name, wanted) in case["outputs"].as_object().unwrap() {
        let mut data = Vec::new();
        results.iter().for_each(|result| flatten(&result["outputs"][name], &mut data));
        match wanted {
            // What is no tensor is compared as it is.
            Value::Array(_) => assert!(close(&data.into(), wanted, tolerance), "{about}, {name}: {answer}"),
            _ => compare_elements(&data, wanted, tolerance, &format!("{about}, {name} by /predict")),
        }
    }
}

/// The best class of each row; without labels its index.
fn labelled(case: &Value) -> Value {
    if case["labels"].is_array() {
        return case["labels"].clone();
    }
    let outputs = case["outputs"].as_object().unwrap();
    let scores = outputs.values().find(|output| output["dtype"] == "float32").unwrap();
    let data: Vec<f64> = serde_json::from_value(scores["data"].clone()).unwrap();
    let best = |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap().to_string();
    data.chunks(scores["shape"][1].as_u64().unwrap().try_into().unwrap()).map(best).collect()
}

fn flatten(value: &Value, data: &mut Vec<Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| flatten(value, data)),
        value => data.push(value.clone()),
    }
}

/// A picture that our own recipe prepares: others round differently, so that the best score is near the golden one.
fn picture(server: &Server, model: &str, case: &Value, about: &str) {
    let [(_, input)] = case["inputs"].as_object().unwrap().iter().collect::<Vec<_>>()[..] else {
        panic!("{about}")
    };
    let answer = server.post(&format!("/predict/{model}"), read(input["file"].as_str().unwrap())).ok();
    let best = &answer["results"][0]["classes"][0];
    let outputs = case["outputs"].as_object().unwrap();
    let wanted = outputs.values().next().unwrap()["max"].as_f64().unwrap();
    let score = best["score"].as_f64().unwrap();
    assert!((score - wanted).abs() < 0.05, "{about}: {best} is not near {wanted}");
    // Between two cats the rounding decides.
    let label = best["label"].as_str().unwrap();
    let expected = case["labels"][0].as_str().unwrap();
    assert!(label == expected || label.contains("cat") && expected.contains("cat"), "{about}: {best}");
}

/// A model that wants its state back with the next request.
fn chain(server: &Server, model: &str, form: Form, speech: &str, case: &Value, tolerance: Tolerance) {
    const CHUNK: usize = 512;
    const CONTEXT: usize = 64;
    let samples = inputs::samples(speech);
    let mut state = Tensor::new("state", "FP32", &[2, 1, 128], json!(vec![0.0; 256]));
    let mut context = vec![0.0f32; CONTEXT];
    let wanted = case["probabilities"].as_array().unwrap();
    assert_eq!(wanted.len(), samples.len() / CHUNK);
    for (number, (chunk, wanted)) in samples.chunks_exact(CHUNK).zip(wanted).enumerate() {
        let input = [&context[..], chunk].concat();
        context = input[CHUNK..].to_vec();
        let inputs = [
            Tensor::new("input", "FP32", &[1, CHUNK + CONTEXT], json!(input)),
            state,
            Tensor::new("sr", "INT64", &[], json!([16000])),
        ];
        let answer = outputs(&infer(server, model, form, &inputs));
        let probability = answer[0].data[0].as_f64().unwrap();
        let wanted = wanted.as_f64().unwrap();
        assert!(
            tolerance.close(probability, wanted),
            "{model}, chunk {number}: {probability} is not {wanted}"
        );
        state = Tensor { name: "state".into(), ..answer[1].clone() };
    }
}

fn compare(got: &Tensor, wanted: &Value, tolerance: Tolerance, about: &str) {
    if let Value::Array(documents) = wanted {
        assert_eq!((got.datatype, &got.shape[..]), ("BYTES", &[documents.len()][..]), "{about}");
        let parsed = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
        let got: Value = got.data.iter().map(parsed).collect();
        return assert!(close(&got, wanted, tolerance), "{about}: {got}");
    }
    assert_eq!(got.datatype, inputs::datatype(wanted["dtype"].as_str().unwrap()), "{about}");
    assert_eq!(json!(got.shape), wanted["shape"], "{about}");
    compare_elements(&got.data, wanted, tolerance, about);
}

fn compare_elements(got: &[Value], wanted: &Value, tolerance: Tolerance, about: &str) {
    if let Value::Array(data) = &wanted["data"] {
        return assert!(
            close(&got.to_vec().into(), &wanted["data"], tolerance),
            "{about}: {got:?} is not {data:?}"
        );
    }
    let shape: Vec<usize> = serde_json::from_value(wanted["shape"].clone()).unwrap();
    assert_eq!(got.len(), shape.iter().product::<usize>(), "{about}");
    let numbers: Vec<f64> = got.iter().map(|value| value.as_f64().unwrap()).collect();
    let parts = wanted["first"].as_array().unwrap().len();
    let first: Value = numbers[..parts].into();
    let spread: Value = (0..parts).map(|at| numbers[at * numbers.len() / parts]).collect();
    assert!(close(&first, &wanted["first"], tolerance), "{about}: {first}");
    assert!(close(&spread, &wanted["spread"], tolerance), "{about}: {spread}");
    for (what, got, tolerance) in [
        ("sum", numbers.iter().sum(), tolerance.of_sum(numbers.len())),
        ("min", numbers.iter().copied().fold(f64::INFINITY, f64::min), tolerance),
        ("max", numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max), tolerance),
    ] {
        let wanted = wanted[what].as_f64().unwrap();
        assert!(tolerance.close(got, wanted), "{about}: its {what} is {got}, not {wanted}");
    }
}

/// Whether two JSON values are the same, numbers within the tolerance.
fn close(got: &Value, wanted: &Value, tolerance: Tolerance) -> bool {
    let members_close = |got: &Map<String, Value>, wanted: &Map<String, Value>| {
        got.len() == wanted.len()
            && wanted
                .iter()
                .all(|(key, wanted)| got.get(key).is_some_and(|got| close(got, wanted, tolerance)))
    };
    match (got, wanted) {
        (Value::Number(got), Value::Number(wanted)) => {
            tolerance.close(got.as_f64().unwrap(), wanted.as_f64().unwrap())
        }
        (Value::Array(got), Value::Array(wanted)) => {
            got.len() == wanted.len()
                && got.iter().zip(wanted).all(|(got, wanted)| close(got, wanted, tolerance))
        }
        (Value::Object(got), Value::Object(wanted)) => members_close(got, wanted),
        _ => got == wanted,
    }
}
