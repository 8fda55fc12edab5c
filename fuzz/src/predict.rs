//! The JSON of `/predict`.

use predictd_protocol::inference::{
    nested,
    predict::{is_json, parse},
    spec::TensorSpec,
    tensor::{Data, Datatype},
    v2::Input,
};

/// The first byte chooses the model. What is read is JSON and bounded by the text; printed by name and read again it is the
/// same.
pub fn predict(data: &[u8]) {
    let Some((model, body)) = data.split_first() else { return };
    let specs = inputs(*model);
    let Ok(inputs) = parse(body, &specs) else { return };
    assert!(is_json(body));
    for input in &inputs {
        match input.tensor.data() {
            // The shortest is a digit, and a comma after all but the last.
            Data::Numbers(bytes) => assert!(bytes.len() <= 4 * (body.len() + 1)),
            Data::Strings(strings) => {
                assert!(strings.iter().map(|string| string.len() + 2).sum::<usize>() <= body.len());
            }
            Data::Documents(_) => unreachable!("a request has none"),
        }
    }
    let text = print(&inputs);
    let again = parse(text.as_bytes(), &specs).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(again, inputs, "{text}");
}

fn print(inputs: &[Input]) -> String {
    let member = |input: &Input| {
        let mut value = Vec::new();
        nested::write(&input.tensor, &mut value);
        format!("\"{}\":{}", input.name, String::from_utf8(value).expect("JSON is UTF-8"))
    };
    format!("{{\"inputs\":{{{}}}}}", inputs.iter().map(member).collect::<Vec<_>>().join(","))
}

fn inputs(model: u8) -> Vec<TensorSpec> {
    let spec =
        |name: &str, datatype| TensorSpec { name: name.into(), datatype, shape: vec![None], any_rank: false };
    match model % 6 {
        0 => vec![spec("x", Datatype::Fp32)],
        1 => vec![spec("x", Datatype::Int64)],
        2 => vec![spec("x", Datatype::Bytes)],
        3 => vec![spec("x", Datatype::Bool)],
        4 => vec![spec("x", Datatype::Fp64), spec("inputs", Datatype::Uint8)],
        _ => vec![spec("x", Datatype::Bytes), spec("y", Datatype::Bf16), spec("z", Datatype::Int8)],
    }
}
