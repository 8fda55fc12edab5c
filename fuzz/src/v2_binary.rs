//! Inference requests with tensors as bytes.

use bytes::Bytes;
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::{Data, Datatype},
    v2::{InferRequest, InferResponse, Output, parse, print},
};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// The first two bytes are the length of the JSON, 65535 for none. Tensors that came as bytes lie in the body, and others
/// are bounded by it; all printed as bytes and read again are the same.
pub fn v2_binary(data: &[u8]) {
    let Some((length, body)) = data.split_first_chunk() else { return };
    let length = Some(u16::from_le_bytes(*length)).filter(|length| *length != u16::MAX).map(usize::from);
    let body = Bytes::copy_from_slice(body);
    let Ok(request) = parse(&body, length, &[only_input(body.len())]) else { return };
    let json = length.unwrap_or(body.len());
    let mut behind = 0;
    for input in &request.inputs {
        let pieces: Vec<&[u8]> = match input.tensor.data() {
            Data::Numbers(bytes) => vec![&bytes[..]],
            Data::Strings(strings) => strings.iter().collect(),
            Data::Documents(_) => unreachable!("a request has none"),
        };
        assert!(pieces.iter().map(|piece| piece.len()).sum::<usize>() <= 4 * body.len());
        let range = body.as_ptr_range();
        let inside = |piece: &&&[u8]| !piece.is_empty() && range.contains(&piece.as_ptr());
        behind += pieces.iter().filter(inside).map(|piece| piece.len()).sum::<usize>();
    }
    // What is not copied was not read as JSON.
    assert!(behind <= body.len() - json);
    assert_eq!(read_again(&request).inputs, request.inputs);
}

/// A model's input for bodies without JSON, another one for each length.
fn only_input(length: usize) -> TensorSpec {
    let (datatype, shape) = match length % 4 {
        0 => (Datatype::Fp32, vec![None, Some(2)]),
        1 => (Datatype::Uint8, vec![None, None, Some(3)]),
        2 => (Datatype::Bytes, vec![None, Some(1)]),
        _ => (Datatype::Bool, vec![Some(3)]),
    };
    TensorSpec { name: "x".into(), datatype, shape, any_rank: false }
}

/// The inputs printed as outputs, and these read as inputs.
fn read_again(request: &InferRequest) -> InferRequest {
    let output = |name, tensor| Output { name, tensor, binary: true };
    let outputs = request.inputs.iter().map(|input| output(&*input.name, &input.tensor)).collect();
    let response = InferResponse { model_name: "m", model_version: "1", id: None, outputs };
    let printed = print(&response).expect("bytes may be anything");
    assert_eq!(printed.header_length(), (!request.inputs.is_empty()).then_some(printed.head.len()));
    let members: HashMap<&str, &RawValue> = serde_json::from_slice(&printed.head).expect("a head is JSON");
    let head = format!("{{\"inputs\":{}}}", members["outputs"].get());
    let length = head.len();
    let body = printed.tensors.iter().fold(head.into_bytes(), |body, tensor| [&body, &tensor[..]].concat());
    parse(&body.into(), Some(length), &[]).unwrap_or_else(|error| panic!("{error}"))
}
