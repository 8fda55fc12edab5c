//! Rows of numbers into classes: order, ties, labels, and numbers that are none.

use super::*;
use crate::config::model::{Defaults, Model};
use half::f16;

fn output(text: &str) -> ClassificationOutput {
    let text = format!("[output]\nkind = \"classification\"\n{text}");
    Model::parse(&text, "model.toml", &Defaults::default()).unwrap().output.unwrap()
}

fn spec(name: &str, datatype: Datatype, shape: &[Option<usize>]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), any_rank: false }
}

/// The classes of a row of scores, as `index:score` in two decimals.
fn check(keys: &str, row: &[f32], top_k: Option<usize>, expected: &str) {
    let recipe = Recipe::new(&output(keys), &[spec("y", Datatype::Fp32, &[None, None])], None).unwrap();
    let row = Tensor::from_numbers(vec![row.len()], row.to_vec()).unwrap();
    let classes = recipe.classes(&row, top_k).unwrap();
    let got: Vec<_> = classes.iter().map(|class| format!("{}:{:.2}", class.index, class.score)).collect();
    assert_eq!(got.join(" "), expected, "{row:?}");
}

#[test]
fn probabilities_stay_and_other_scores_go_through_softmax() {
    check("", &[0.1, 0.7, 0.2], None, "1:0.70 2:0.20 0:0.10");
    check("", &[0.0, 1.0, 0.0], None, "1:1.00 0:0.00 2:0.00");
    check("", &[0.1, 0.7, 0.9], None, "2:0.44 1:0.36 0:0.20");
    check("", &[1.0, 2.0, 3.0], None, "2:0.67 1:0.24 0:0.09");
    check("", &[-0.5, 1.0, 0.5], None, "1:0.55 2:0.33 0:0.12");
    check("softmax = true", &[0.0, 1.0], None, "1:0.73 0:0.27");
    check("softmax = false", &[1.0, 2.0, 3.0], None, "2:3.00 1:2.00 0:1.00");
    // A single score has nothing to be weighed against: softmax would make 1 of anything.
    check("", &[0.3], None, "0:0.30");
}

#[test]
fn top_k_clamps_and_equals_go_by_index() {
    let row = [0.2; 5];
    check("", &row, None, "0:0.20 1:0.20 2:0.20 3:0.20 4:0.20");
    check("", &row, Some(2), "0:0.20 1:0.20");
    check("top_k = 3", &row, None, "0:0.20 1:0.20 2:0.20");
    check("top_k = 3", &row, Some(usize::MAX), "0:0.20 1:0.20 2:0.20 3:0.20 4:0.20");
    check("", &[0.1, 0.4, 0.1, 0.4], Some(3), "1:0.40 3:0.40 0:0.10");
    check("", &[], None, "");
}

#[test]
fn any_numbers_have_an_answer() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    check("", &[1000.0, 999.0, -1000.0], None, "0:0.73 1:0.27 2:0.00");
    check("", &[nan, 1.0, 1.0], None, "1:0.50 2:0.50 0:NaN");
    check("", &[nan, nan], None, "0:NaN 1:NaN");
    check("", &[inf, 1.0, inf], None, "0:0.50 2:0.50 1:0.00");
    check("", &[-inf, -inf], None, "0:0.50 1:0.50");
    check("", &[f32::MAX, f32::MIN], None, "0:1.00 1:0.00");
}

#[test]
fn the_best_of_many_are_those_of_a_whole_sort() {
    let row: Vec<f32> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as f32).collect();
    let mut sorted: Vec<usize> = (0..row.len()).collect();
    sorted.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
    for count in [1, 5, 4999, 5000] {
        assert_eq!(ranking::largest(&row, count, ranking::by_value), sorted[..count]);
    }
}

#[test]
fn dimensions_of_1_do_not_matter_and_half_precision_is_read() {
    let outputs = [spec("p", Datatype::Fp16, &[Some(1), Some(2), Some(1), Some(1)])];
    let recipe = Recipe::new(&output(""), &outputs, None).unwrap();
    let values = [0.25, 0.75].map(f16::from_f32).to_vec();
    for shape in [vec![2], vec![1, 2], vec![2, 1, 1], vec![1, 2, 1, 1]] {
        let row = Tensor::from_numbers(shape, values.clone()).unwrap();
        assert_eq!(recipe.classes(&row, Some(1)).unwrap()[0].index, 1);
    }
    let row = Tensor::from_numbers(vec![2, 2], vec![0.25f32; 4]).unwrap();
    let error = recipe.classes(&row, None).unwrap_err().to_string();
    assert_eq!(error, "tensor `p` has shape [2, 2] for one row, which is not one score per class");
    let row = Tensor::from_numbers(vec![2], vec![1i64, 2]).unwrap();
    assert_eq!(recipe.classes(&row, None).unwrap_err().to_string(), "tensor `p` is INT64, which is no score");
}

#[test]
fn a_class_prints_as_label_index_and_score() {
    let specs = [spec("digit", Datatype::Int64, &[None]), spec("p", Datatype::Fp32, &[None, Some(2)])];
    let row = Tensor::from_numbers(vec![2], vec![0.007f32, 0.993]).unwrap();
    let json = |labels| {
        let recipe = Recipe::new(&output(""), &specs, labels).unwrap();
        assert_eq!(recipe.tensor(), "p");
        serde_json::to_string(&recipe.classes(&row, None).unwrap()).unwrap()
    };
    assert_eq!(
        json(None),
        r#"[{"label":"1","index":1,"score":0.993},{"label":"0","index":0,"score":0.007}]"#
    );
    let labels = Some(vec!["cat".to_owned(), "dog".to_owned()]);
    assert!(json(labels).starts_with(r#"[{"label":"dog","index":1,"score":0.993},"#));
    let class = Class { label: "x".into(), index: 0, score: f32::NAN };
    assert_eq!(serde_json::to_string(&class).unwrap(), r#"{"label":"x","index":0,"score":null}"#);
}

#[test]
fn what_does_not_fit_the_model_is_said_when_it_is_loaded() {
    let open = [None, None];
    let logits = || spec("logits", Datatype::Fp32, &open);
    let digit = || spec("digit", Datatype::Int64, &open[..1]);
    let of = |keys: &str, specs: &[TensorSpec], labels: usize| {
        let labels = (labels > 0).then(|| vec![String::new(); labels]);
        Recipe::new(&output(keys), specs, labels).unwrap_err().to_string()
    };
    #[rustfmt::skip]
    let cases = [
        (of("tensor = \"x\"", &[logits(), digit()], 0), "tensor = \"x\": the model has no such output, it has `logits`, `digit`"),
        (of("tensor = \"digit\"", &[logits(), digit()], 0), "tensor `digit` is INT64, but a classification needs floating-point numbers"),
        (of("", &[digit()], 0), "set `tensor`: the model has `digit`, and it is not clear which output is meant"),
        (of("", &[logits(), logits()], 0), "set `tensor`: the model has `logits`, `logits`, and it is not clear which output is meant"),
        (of("", &[spec("m", Datatype::Fp32, &[None, Some(8), Some(9)])], 0),
         "tensor `m` has shape [-1, 8, 9], but a classification needs one score per class and row"),
        (of("", &[spec("p", Datatype::Fp32, &[None, Some(10)])], 9),
         "there are 9 labels, but tensor `p` with shape [-1, 10] has 10 classes"),
    ];
    for (got, expected) in cases {
        assert_eq!(got, expected);
    }
    // Where the shape leaves it open, a class without a label goes by its index.
    let recipe = Recipe::new(&output(""), &[logits()], Some(vec!["a".into()])).unwrap();
    let row = Tensor::from_numbers(vec![2], vec![0.2f32, 0.8]).unwrap();
    assert_eq!(recipe.classes(&row, Some(1)).unwrap()[0].label, "1");
}
