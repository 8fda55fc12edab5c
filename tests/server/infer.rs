//! Tensors to a model and back, in each form that the server takes, as a client without our code would send and read them.

use crate::harness::{Reply, Server};
use half::{bf16, f16};
use serde_json::{Map, Value, json};

/// A tensor as its client has it: elements as JSON has them, and in one list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) datatype: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<Value>,
}

impl Tensor {
    pub(crate) fn new(name: &str, datatype: &'static str, shape: &[usize], data: Value) -> Self {
        let Value::Array(data) = data else { panic!("{data} is no list") };
        Self { name: name.into(), datatype, shape: shape.into(), data }
    }

    /// Its elements in lists as deep as its shape.
    pub(crate) fn nested(&self) -> Value {
        fn nest(shape: &[usize], data: &mut impl Iterator<Item = Value>) -> Value {
            match shape.split_first() {
                None => data.next().unwrap(),
                Some((length, inner)) => (0..*length).map(|_| nest(inner, data)).collect(),
            }
        }
        nest(&self.shape, &mut self.data.iter().cloned())
    }
}

/// How a request and its answer carry tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `/v2`, all JSON.
    Json,
    /// `/v2`, all bytes.
    Bytes,
    /// `/v2`, JSON in and bytes out.
    JsonToBytes,
    /// `/v2`, bytes in and JSON out.
    BytesToJson,
}

pub(crate) const FORMS: [Form; 4] = [Form::Json, Form::Bytes, Form::JsonToBytes, Form::BytesToJson];

/// The answer to `/v2/models/{model}/infer`, whatever it is.
pub(crate) fn infer(server: &Server, model: &str, form: Form, inputs: &[Tensor]) -> Reply {
    let mut behind = Vec::new();
    let described: Vec<Value> = inputs
        .iter()
        .map(|input| {
            let mut described =
                json!({ "name": input.name, "datatype": input.datatype, "shape": input.shape });
            if matches!(form, Form::Json | Form::JsonToBytes) {
                described["data"] = input.data.clone().into();
            } else {
                let bytes = to_bytes(input.datatype, &input.data);
                described["parameters"] = json!({ "binary_data_size": bytes.len() });
                behind.extend(bytes);
            }
            described
        })
        .collect();
    let binary = matches!(form, Form::Bytes | Form::JsonToBytes);
    let head = json!({ "inputs": described, "parameters": { "binary_data_output": binary } }).to_string();
    let length = head.len().to_string();
    let headers = [("Inference-Header-Content-Length", &*length)];
    let headers = if matches!(form, Form::Json | Form::JsonToBytes) { &[][..] } else { &headers };
    let path = format!("/v2/models/{model}/infer");
    server.ask("POST", &path, headers, &[head.as_bytes(), &behind].concat())
}

/// The outputs that a 200 of `/v2` gives, by JSON or bytes.
#[track_caller]
pub(crate) fn outputs(reply: &Reply) -> Vec<Tensor> {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let length = reply.header("inference-header-content-length");
    let (head, mut behind) =
        reply.body.split_at(length.map_or(reply.body.len(), |text| text.parse().unwrap()));
    let head: Value = serde_json::from_slice(head).unwrap();
    let outputs = head["outputs"].as_array().unwrap().iter().map(|output| {
        let datatype = known(output["datatype"].as_str().unwrap());
        let data = match output["parameters"]["binary_data_size"].as_u64() {
            None => output["data"].clone(),
            Some(size) => {
                let (bytes, rest) = behind.split_at(size.try_into().unwrap());
                behind = rest;
                from_bytes(datatype, bytes).into()
            }
        };
        let shape: Vec<usize> = serde_json::from_value(output["shape"].clone()).unwrap();
        Tensor::new(output["name"].as_str().unwrap(), datatype, &shape, data)
    });
    let outputs = outputs.collect();
    assert!(behind.is_empty(), "{} bytes too many", behind.len());
    outputs
}

/// The answer to `/predict/{model}` by JSON.
pub(crate) fn predict(server: &Server, model: &str, inputs: &[Tensor]) -> Reply {
    let inputs: Map<String, Value> =
        inputs.iter().map(|input| (input.name.clone(), input.nested())).collect();
    let headers = [("Content-Type", "application/json")];
    server.ask(
        "POST",
        &format!("/predict/{model}"),
        &headers,
        json!({ "inputs": inputs }).to_string().as_bytes(),
    )
}

const DATATYPES: [&str; 14] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32",
    "FP64", "BYTES",
];

fn known(datatype: &str) -> &'static str {
    DATATYPES.into_iter().find(|known| *known == datatype).unwrap_or_else(|| panic!("{datatype}"))
}

/// Little-endian; a string after its length, of four bytes.
pub(crate) fn to_bytes(datatype: &str, data: &[Value]) -> Vec<u8> {
    let element = |value: &Value| -> Vec<u8> {
        let (unsigned, signed, float) = (value.as_u64(), value.as_i64(), value.as_f64());
        match datatype {
            "BOOL" => vec![value.as_bool().unwrap().into()],
            "UINT8" => u8::try_from(unsigned.unwrap()).unwrap().to_le_bytes().into(),
            "UINT16" => u16::try_from(unsigned.unwrap()).unwrap().to_le_bytes().into(),
            "UINT32" => u32::try_from(unsigned.unwrap()).unwrap().to_le_bytes().into(),
            "UINT64" => unsigned.unwrap().to_le_bytes().into(),
            "INT8" => i8::try_from(signed.unwrap()).unwrap().to_le_bytes().into(),
            "INT16" => i16::try_from(signed.unwrap()).unwrap().to_le_bytes().into(),
            "INT32" => i32::try_from(signed.unwrap()).unwrap().to_le_bytes().into(),
            "INT64" => signed.unwrap().to_le_bytes().into(),
            "FP16" => f16::from_f64(float.unwrap()).to_le_bytes().into(),
            "BF16" => bf16::from_f64(float.unwrap()).to_le_bytes().into(),
            "FP32" => (float.unwrap() as f32).to_le_bytes().into(),
            "FP64" => float.unwrap().to_le_bytes().into(),
            _ => {
                let text = value.as_str().unwrap();
                [&u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat()
            }
        }
    };
    data.iter().flat_map(element).collect()
}

/// The other way; strings must be UTF-8.
pub(crate) fn from_bytes(datatype: &str, mut bytes: &[u8]) -> Vec<Value> {
    fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
        let (piece, rest) = bytes.split_first_chunk().expect("whole elements");
        *bytes = rest;
        *piece
    }
    let mut data = Vec::new();
    while !bytes.is_empty() {
        let from = &mut bytes;
        data.push(match datatype {
            "BOOL" => (u8::from_le_bytes(take(from)) != 0).into(),
            "UINT8" => u8::from_le_bytes(take(from)).into(),
            "UINT16" => u16::from_le_bytes(take(from)).into(),
            "UINT32" => u32::from_le_bytes(take(from)).into(),
            "UINT64" => u64::from_le_bytes(take(from)).into(),
            "INT8" => i8::from_le_bytes(take(from)).into(),
            "INT16" => i16::from_le_bytes(take(from)).into(),
            "INT32" => i32::from_le_bytes(take(from)).into(),
            "INT64" => i64::from_le_bytes(take(from)).into(),
            "FP16" => f16::from_le_bytes(take(from)).to_f64().into(),
            "BF16" => bf16::from_le_bytes(take(from)).to_f64().into(),
            "FP32" => f32::from_le_bytes(take(from)).into(),
            "FP64" => f64::from_le_bytes(take(from)).into(),
            _ => {
                let length = u32::from_le_bytes(take(from)) as usize;
                let (text, rest) = from.split_at(length);
                *from = rest;
                std::str::from_utf8(text).unwrap().into()
            }
        });
    }
    data
}
