//! Bytes that are not as many, or not what the request says that they are.

use super::{Case, check_all, input, request};

const V2: &str = "/v2/models/identity_float/infer";
const TEXTS: &str = "/v2/models/identity_string/infer";

/// A tensor of `size` bytes, of which `bytes` come.
fn sent(target: &str, datatype: &str, shape: &str, size: &str, bytes: &[u8], says: &[&str]) -> Case {
    let tensor = input("x", datatype, shape, &format!(r#""parameters":{{"binary_data_size":{size}}}"#));
    let head = request(&[tensor]);
    Case::binary(target, head.len(), [head.as_bytes(), bytes].concat(), says)
}

#[test]
fn sizes_that_are_claimed_are_compared_with_what_has_come() {
    let four = 1.5f32.to_le_bytes();
    let cases = [
        sent(V2, "FP32", "[1,1]", "4", &[], &["input 'x': binary_data_size is 4, the body has 0 bytes left"]),
        sent(V2, "FP32", "[1,1]", "4", &four[..3], &["binary_data_size is 4, the body has 3 bytes left"]),
        sent(V2, "FP32", "[1,1]", "3", &four[..3], &["input 'x': shape [1, 1] needs 4 bytes of FP32, got 3"]),
        sent(V2, "FP32", "[1,1]", "0", &[], &["input 'x': shape [1, 1] needs 4 bytes of FP32, got 0"]),
        sent(V2, "FP32", "[1,1]", "4", &[&four[..], b"x"].concat(), &["1 bytes are left in the body"]),
        sent(V2, "FP32", "[1,1]", "1099511627776", &four, &["is 1099511627776, the body has 4 bytes left"]),
        sent(
            V2,
            "FP32",
            "[1,1]",
            "18446744073709551615",
            &four,
            &["is 18446744073709551615, the body has 4 bytes"],
        ),
        sent(
            V2,
            "FP32",
            "[1,1]",
            "18446744073709551616",
            &four,
            &["binary_data_size must be a whole number"],
        ),
        sent(V2, "FP32", "[1,1]", "-4", &four, &["binary_data_size must be a whole number from 0, got '-4"]),
        sent(V2, "FP32", "[1,1]", "4.0", &four, &["binary_data_size must be a whole number"]),
        sent(V2, "FP32", "[1,1]", "\"4\"", &four, &["binary_data_size must be a whole number"]),
        sent(V2, "FP99", "[1,1]", "4", &four, &["input 'x' has an unknown datatype 'FP99'"]),
        sent(V2, "fp32", "[1,1]", "4", &four, &["input 'x' has an unknown datatype 'fp32'"]),
        sent(V2, "", "[1,1]", "4", &four, &["input 'x' has an unknown datatype ''"]),
        sent(V2, "FP64", "[1,1]", "8", &[0; 8], &["input 'x' must be FP32, got FP64"]),
        sent(
            "/v2/models/identity_bool/infer",
            "BOOL",
            "[1,1]",
            "1",
            &[2],
            &["input 'x': a BOOL element is 2, not 0 or 1"],
        ),
    ];
    check_all(&cases, 16 << 20);
}

#[test]
fn shapes_that_are_claimed_allocate_nothing() {
    let mut cases = Vec::new();
    for (shape, says) in [
        ("[9223372036854775807,1]", "9223372036854775807"),
        ("[9223372036854775808,1]", "9223372036854775808"),
        ("[18446744073709551615,1]", "18446744073709551615"),
        ("[4294967296,4294967296]", "has too many elements"),
        ("[4611686018427387904,4]", "has too many elements"),
        ("[1099511627776,1]", "shape [1099511627776, 1] needs"),
        // A zero does not make the others harmless: a model may give a row for each.
        ("[0,9223372036854775808]", "9223372036854775808"),
        ("[9223372036854775807,0]", "9223372036854775807"),
        ("[4294967296,4294967296,0]", "too many elements"),
        ("[1099511627776,0]", "input 'x'"),
        ("[0,1099511627776]", "input 'x'"),
    ] {
        for (model, datatype) in
            [("float", "FP32"), ("double", "FP64"), ("bool", "BOOL"), ("string", "BYTES")]
        {
            let target = format!("/v2/models/identity_{model}/infer");
            let json = request(&[input("x", datatype, shape, r#""data":[]"#)]);
            cases.push(Case::json(&target, json, &[says]));
            cases.push(sent(&target, datatype, shape, "0", &[], &[says]));
        }
    }
    check_all(&cases, 16 << 20);
}

#[test]
fn lengths_of_strings_are_compared_with_what_has_come() {
    let text = |length: u32, text: &[u8]| [&length.to_le_bytes()[..], text].concat();
    let of = |shape: &str, bytes: &[u8], says: &[&str]| {
        sent(TEXTS, "BYTES", shape, &bytes.len().to_string(), bytes, says)
    };
    let cases = [
        of("[1,1]", &text(5, b"abc"), &["input 'x': element 0 needs 5 bytes, 3 are left"]),
        of("[1,1]", &text(u32::MAX, b"abc"), &["element 0 needs 4294967295 bytes, 3 are left"]),
        of("[1,1]", &text(1 << 31, b""), &["element 0 needs 2147483648 bytes, 0 are left"]),
        of("[1,2]", &[text(1, b"a"), vec![1, 0]].concat(), &["element 1 needs 4 bytes, 2 are left"]),
        of("[1,1]", &[text(1, b"a"), text(1, b"b")].concat(), &["shape [1, 1] needs 1 elements, got 2"]),
        of("[1,2]", &text(1, b"a"), &["shape [1, 2] needs 2 elements, got 1"]),
        of("[1,1]", b"", &["shape [1, 1] needs 1 elements, got 0"]),
        // What JSON cannot carry goes as bytes alone.
        of("[1,1]", &text(1, b"\xff"), &["output 'y': element 0 is not UTF-8", "binary_data"]),
    ];
    check_all(&cases, 16 << 20);
}

#[test]
fn the_length_of_the_json_is_a_number_within_the_body() {
    let good = request(&[input("x", "FP32", "[1,1]", r#""data":[1]"#)]);
    let over = (good.len() + 1).to_string();
    let mut cases = vec![
        Case::binary(V2, &over, &good, &["Inference-Header-Content-Length is ", "the body has"]),
        Case::binary(V2, u64::MAX, &good, &["is 18446744073709551615, the body has"]),
        Case::binary(V2, good.len() - 1, &good, &["EOF"]),
        Case::binary(V2, 1, &good, &["at line 1 column 2"]),
        Case::binary(V2, 5, "", &["Inference-Header-Content-Length is 5, the body has 0 bytes"]),
        Case::binary(V2, 0, "", &["input 'x'", "0 bytes"]),
        Case::binary("/v2/models/add_sub/infer", 0, [0; 64], &["model of one input, this has 2"]),
        // Two of them, as the wires join them.
        Case::binary(V2, format!("{}, {}", good.len(), good.len()), &good, &["must be a number of bytes"]),
    ];
    for not in ["-1", "+5", "", "x", "1e2", "0x10", "5.0", "18446744073709551616", "\u{665}", "5 5"] {
        let says = format!("inference-header-content-length must be a number of bytes, got '{not}'");
        cases.push(Case::binary(V2, not, &good, &[&says]));
    }
    check_all(&cases, 16 << 20);
}

#[test]
fn raw_bytes_are_whole_rows() {
    let raw = |target, length: usize, says: &[&str]| Case::raw(target, vec![0; length], says);
    let cases = [
        raw(
            "/predict/iris",
            0,
            &["0 bytes are no whole number of rows of input 'measurements' (FP32 [-1, 4])"],
        ),
        raw("/predict/iris", 15, &["15 bytes are no whole number of rows"]),
        raw("/predict/iris", 17, &["17 bytes are no whole number of rows"]),
        raw("/predict/add_sub", 64, &["has 2 inputs, raw bytes are for one"]),
        raw("/predict/identity_float", 4, &["input 'x' (FP32 [-1, -1])"]),
        raw("/predict/identity_string", 4, &["input 'x' (BYTES [-1, -1])"]),
        Case::binary(V2, 0, [0; 5], &["5 bytes are no FP32 tensor of [-1, -1]: that needs a multiple of 4"]),
        Case::binary("/v2/models/iris/infer", 0, [0; 20], &["needs a multiple of 16"]),
        Case::binary(
            "/v2/models/identity_bool/infer",
            0,
            [7; 1],
            &["input 'x': a BOOL element is 7, not 0 or 1"],
        ),
    ];
    check_all(&cases, 16 << 20);
}
