//! Inputs against signatures, names against models, with an engine that only echoes.

use super::load::{Basis, Made, Version};
use super::*;
use crate::model::engine::{Interrupt, RunError, Signature};
use crate::pool::{self, Pool};

struct Echo(Signature);

impl Engine for Echo {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(&self, inputs: &[Tensor], _: &Interrupt) -> Result<Vec<Tensor>, RunError> {
        Ok(inputs.to_vec())
    }
}

fn spec(name: &str, datatype: Datatype, shape: &[Option<usize>]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.into(), any_rank: false }
}

fn model(name: &str, version: u64) -> Model {
    let specs = vec![spec("a", Datatype::Fp32, &[None, Some(2)]), spec("b", Datatype::Int64, &[])];
    let engine = Arc::new(Echo(Signature { inputs: specs.clone(), outputs: specs, row_names: Vec::new() }));
    let deadline = Duration::from_secs(1);
    let batching =
        Batching { has_rows: true, joins: false, max_rows: 1, max_delay: Duration::ZERO, queue: 1 };
    Model {
        name: name.parse().unwrap(),
        version,
        engine,
        image: None,
        classes: None,
        deadline,
        batching,
        settings: Arc::default(),
        alone: None,
    }
}

fn input(name: &str, tensor: Tensor) -> Input {
    Input { name: name.into(), tensor }
}

fn a() -> Tensor {
    Tensor::from_numbers(vec![1, 2], vec![1.0f32, 2.0]).unwrap()
}

fn b() -> Tensor {
    Tensor::from_numbers(vec![], vec![3i64]).unwrap()
}

#[test]
fn inputs_are_put_into_the_models_order() {
    let outputs = model("m", 1).arrange(vec![input("b", b()), input("a", a())]).unwrap();
    assert_eq!(outputs, [a(), b()]);
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let check = |inputs: Vec<Input>, says: &str| {
        assert_eq!(model("m", 1).arrange(inputs).unwrap_err().to_string(), says);
    };
    check(vec![input("a", a())], "model 'm': input 'b' is missing");
    check(vec![input("a", a()), input("c", b())], "model 'm' has no input 'c'; it has 'a', 'b'");
    check(
        vec![input("a", a()), input("b", b()), input("c", b())],
        "model 'm' has no input 'c'; it has 'a', 'b'",
    );
    check(vec![input("a", a()), input("b", b()), input("a", a())], "model 'm': input 'a' is given twice");
    check(vec![input("a", b()), input("b", b())], "model 'm': input 'a' must be FP32, got INT64");
    let wide = Tensor::from_numbers(vec![1, 3], vec![0f32; 3]).unwrap();
    check(
        vec![input("a", wide), input("b", b())],
        "model 'm': input 'a' must be of shape [-1, 2], got [1, 3]",
    );
}

#[test]
fn a_tensor_of_nothing_claims_no_more_than_it_could_mean() {
    let free = spec("x", Datatype::Fp32, &[None, None, Some(1 << 20)]);
    for (shape, claims) in [
        (&[3, 4, 1 << 20][..], 0),
        // What the model says itself is no claim.
        (&[0, 0, 1 << 20], 1),
        (&[7, 0, 1 << 20], 7),
        (&[0, 1 << 40, 1 << 20], 1 << 40),
    ] {
        assert_eq!(claimed(&free, shape), claims, "{shape:?}");
    }
    let mut model = model("m", 1);
    model.engine =
        Arc::new(Echo(Signature { inputs: vec![free], outputs: Vec::new(), row_names: Vec::new() }));
    let empty = |rows| {
        let tensor = Tensor::from_bytes(Datatype::Fp32, vec![rows, 0, 1 << 20], bytes::Bytes::new()).unwrap();
        model.arrange(vec![input("x", tensor)])
    };
    assert!(empty(MAX_EMPTY).is_ok());
    assert_eq!(
        empty(1 << 20).unwrap_err().to_string(),
        "model 'm': input 'x' has no elements, so that its shape [1048576, 0, 1048576] may count no more than 65536"
    );
}

#[test]
fn outputs_are_selected_by_name_in_the_order_asked() {
    let model = model("m", 1);
    assert_eq!(model.select(&[]).unwrap(), [0, 1]);
    assert_eq!(model.select(&["b".into(), "a".into()]).unwrap(), [1, 0]);
    let error = model.select(&["c".into()]).unwrap_err().to_string();
    assert_eq!(error, "model 'm' has no output 'c'; it has 'a', 'b'");
}

#[test]
fn the_highest_version_answers_unless_another_is_asked_for() {
    let pool = Pool::start(pool::Options::default()).unwrap();
    let models = Models::default();
    for (name, versions) in [("m", &[10, 2][..]), ("n", &[1])] {
        let new = |version: &u64| {
            let model = model(name, *version);
            Version::New(Box::new(Made { model, basis: Basis::default() }))
        };
        models.publish(name, versions.iter().map(new).collect(), &pool);
    }
    let version = |name, version| models.find(name, version).map(|model| model.version);
    assert_eq!(version("m", None), Ok(10));
    assert_eq!(version("m", Some("2")), Ok(2));
    assert_eq!(version("m", Some("3")).unwrap_err().to_string(), "model 'm' has no version 3; it has 2, 10");
    assert_eq!(version("x", None).unwrap_err().to_string(), "there is no model 'x'");
    assert_eq!(models.all().len(), 3);
}
