//! A client's side: inference requests as they are sent, for tools and tests.

use super::{binary, response::Printed};
use crate::inference::tensor::Tensor;
use serde_json::json;

/// Prints a request: the inputs, by name, are sent as bytes, and the outputs are wanted so.
#[must_use]
pub fn print_request(inputs: &[(&str, &Tensor)]) -> Printed {
    let tensors: Vec<_> = inputs.iter().map(|(_, tensor)| binary::print(tensor)).collect();
    let input = |((name, tensor), bytes): (&(&str, &Tensor), &bytes::Bytes)| {
        json!({
            "name": name,
            "datatype": tensor.datatype().name(),
            "shape": tensor.shape(),
            "parameters": { "binary_data_size": bytes.len() },
        })
    };
    let inputs: Vec<_> = inputs.iter().zip(&tensors).map(input).collect();
    let head = json!({ "inputs": inputs, "parameters": { "binary_data_output": true } });
    Printed { head: head.to_string().into_bytes(), tensors }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::{tensor::Datatype, v2};

    #[test]
    fn what_a_client_prints_is_what_a_server_reads() {
        let numbers = Tensor::from_bytes(Datatype::Uint16, vec![2, 1], vec![1, 2, 3, 4].into()).unwrap();
        let strings = Tensor::from_strings(vec![2], ["a", ""].into_iter().collect()).unwrap();
        let none = Tensor::from_bytes(Datatype::Fp32, vec![0], Vec::new().into()).unwrap();
        let inputs = [("numbers", &numbers), ("a \"name\"", &strings), ("none", &none)];
        let printed = print_request(&inputs);
        let length = printed.header_length();
        let body = printed.into_pieces().concat().into();
        let read = v2::parse(&body, length, &[]).unwrap();
        assert!(read.binary_output);
        let read: Vec<(&str, &Tensor)> =
            read.inputs.iter().map(|input| (&*input.name, &input.tensor)).collect();
        assert_eq!(read, inputs);
    }
}
