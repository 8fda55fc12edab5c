//! Inference requests as JSON.

use bytes::Bytes;
use predictd_protocol::inference::{
    tensor::{Data, Tensor},
    v2::{InferRequest, InferResponse, Output, parse, print},
};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// A request's tensors fit their datatype and shape, and take memory in proportion to the text; printed and read again
/// they are the same, but for numbers that JSON has no word for: they are read, and printed as null.
pub fn v2_json(data: &[u8]) {
    let Ok(request) = parse(&Bytes::copy_from_slice(data), None, &[]) else { return };
    for input in &request.inputs {
        let tensor = &input.tensor;
        match tensor.data() {
            Data::Numbers(bytes) => {
                assert_eq!(Some(bytes.len()), tensor.datatype().size().map(|size| size * tensor.elements()));
                // The shortest element is a digit and a comma, the longest number has eight bytes.
                assert!(bytes.len() <= 4 * data.len());
            }
            Data::Strings(strings) => {
                assert_eq!(strings.len(), tensor.elements());
                assert!(strings.iter().map(|string| string.len() + 2).sum::<usize>() <= data.len());
            }
            Data::Documents(_) => unreachable!("a request has none"),
        }
    }
    if request.inputs.iter().all(|input| is_finite(&input.tensor)) {
        let again = read_again(&request);
        assert_eq!(again.inputs, request.inputs);
    }
}

fn is_finite(tensor: &Tensor) -> bool {
    match tensor.numbers::<f64>() {
        Some(numbers) => numbers.iter().all(|number| number.is_finite()),
        None => tensor.to_f32().is_none_or(|numbers| numbers.iter().all(|number| number.is_finite())),
    }
}

/// The inputs printed as outputs, and these read as inputs.
fn read_again(request: &InferRequest) -> InferRequest {
    let outputs =
        request.inputs.iter().map(|input| Output { name: &input.name, tensor: &input.tensor, binary: false });
    let id = request.id.as_deref();
    let response = InferResponse { model_name: "m", model_version: "1", id, outputs: outputs.collect() };
    let text = print(&response).expect("what was JSON is text").into_pieces().concat();
    let members: HashMap<&str, &RawValue> = serde_json::from_slice(&text).expect("what is printed is JSON");
    assert_eq!(
        id.map(|id| serde_json::to_string(id).expect("a string")).as_deref(),
        members.get("id").map(|id| id.get())
    );
    let text = format!("{{\"inputs\":{}}}", members["outputs"].get());
    parse(&Bytes::from(text.clone()), None, &[]).unwrap_or_else(|error| panic!("{error}: {text}"))
}
