//! Prediction requests of TensorFlow Serving's interface, and the numbers in them.

use predictd_protocol::inference::{
    nested,
    spec::TensorSpec,
    tensor::{Data, Datatype, Tensor},
    v1::{Format, PredictRequest, parse, print},
};

/// The first byte chooses the model. What is read is bounded by the text; printed in either format and read again it is
/// the same. A list of numbers is what serde takes it for.
pub fn v1(data: &[u8]) {
    let Some((model, body)) = data.split_first() else { return };
    like_serde(body);
    let specs = inputs(*model);
    let Ok(request) = parse(body, &specs) else { return };
    for input in &request.inputs {
        match input.tensor.data() {
            Data::Numbers(bytes) => assert!(bytes.len() <= 4 * body.len()),
            Data::Strings(strings) => {
                assert!(strings.iter().map(|string| string.len() + 2).sum::<usize>() <= body.len());
            }
            Data::Documents(_) => unreachable!("a request has none"),
        }
    }
    again(&request, Format::Columnar, &specs);
    if request.format == Format::Row {
        again(&request, Format::Row, &specs);
    }
}

/// Prints the inputs as outputs, and reads these as inputs.
fn again(request: &PredictRequest, format: Format, specs: &[TensorSpec]) {
    let outputs: Vec<(&str, &Tensor)> =
        request.inputs.iter().map(|input| (&*input.name, &input.tensor)).collect();
    // A single one goes without its name, which a model of several needs.
    if outputs.is_empty() || outputs.len() == 1 && specs.len() > 1 {
        return;
    }
    let text =
        String::from_utf8(print(format, &outputs).expect("what came in rows has rows")).expect("UTF-8");
    let text =
        text.replacen("{\"predictions\":", "{\"instances\":", 1).replacen("{\"outputs\":", "{\"inputs\":", 1);
    let read = parse(text.as_bytes(), specs).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(format!("{:?}", read.inputs), format!("{:?}", request.inputs), "{text}");
}

fn inputs(model: u8) -> Vec<TensorSpec> {
    let spec =
        |name: &str, datatype| TensorSpec { name: name.into(), datatype, shape: vec![None], any_rank: false };
    match model % 8 {
        0 => vec![spec("x", Datatype::Fp32)],
        1 => vec![spec("x", Datatype::Fp64)],
        2 => vec![spec("x", Datatype::Int64)],
        3 => vec![spec("x_bytes", Datatype::Bytes)],
        4 => vec![spec("x", Datatype::Fp16)],
        5 => vec![spec("x", Datatype::Fp32), spec("y", Datatype::Bool)],
        6 => vec![spec("x", Datatype::Uint8), spec("b64", Datatype::Int32)],
        _ => vec![spec("x_bytes", Datatype::Bytes), spec("y", Datatype::Bf16), spec("z", Datatype::Int8)],
    }
}

/// Our reader of numbers against serde's, on the same text.
fn like_serde(body: &[u8]) {
    let Ok(text) = str::from_utf8(body) else { return };
    let serde: Option<Vec<f64>> = serde_json::from_str(text).ok();
    let spec = TensorSpec { name: "x".into(), datatype: Datatype::Fp64, shape: vec![None], any_rank: false };
    let ours = nested::read(&spec, text).ok().filter(|tensor| tensor.shape().len() == 1);
    let bits = |numbers: &[f64]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
    assert_eq!(
        ours.as_ref().map(|tensor| bits(tensor.numbers().expect("FP64, and aligned"))),
        serde.as_deref().map(bits)
    );
}
