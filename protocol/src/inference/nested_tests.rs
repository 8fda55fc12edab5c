//! Nested lists: every datatype both ways, what is refused, and numbers to their last bit.

use super::*;
use crate::inference::document::{Document, Map};

fn read_as(datatype: Datatype, dims: &[Option<usize>], json: &str) -> Result<Tensor, Error> {
    super::read(&TensorSpec { name: "x".into(), datatype, shape: dims.to_vec(), any_rank: false }, json)
}

fn read(datatype: Datatype, json: &str) -> Result<Tensor, Error> {
    read_as(datatype, &[], json)
}

/// As the Open Inference Protocol has a list, nested or flat.
fn read_shaped(datatype: Datatype, json: &str, shape: Vec<usize>) -> Result<Tensor, Error> {
    whole(datatype, Dialect::OpenInference, json)?.finish_as(shape)
}

fn printed(tensor: &Tensor, write: impl FnOnce(&Tensor, &mut Vec<u8>)) -> String {
    let mut output = Vec::new();
    write(tensor, &mut output);
    String::from_utf8(output).unwrap()
}

fn check(datatype: Datatype, json: &str, shape: &[usize], prints: &str) {
    let tensor = read(datatype, json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(tensor.shape(), shape, "{json}");
    assert_eq!(tensor.datatype(), datatype, "{json}");
    assert_eq!(printed(&tensor, write), prints, "{json}");
}

#[test]
fn the_nesting_is_the_shape() {
    check(Datatype::Fp32, "[[1, 2.5], [-3e0, 0.1]]", &[2, 2], "[[1.0,2.5],[-3.0,0.1]]");
    check(Datatype::Int64, "[ -9223372036854775808 ]", &[1], "[-9223372036854775808]");
    check(Datatype::Uint64, "18446744073709551615", &[], "18446744073709551615");
    check(Datatype::Uint8, "[-0]", &[1], "[0]");
    check(Datatype::Int8, "[-0]", &[1], "[0]");
    check(Datatype::Fp32, "[-0]", &[1], "[-0.0]");
    check(Datatype::Bool, "[[true],[false]]", &[2, 1], "[[true],[false]]");
    check(Datatype::Fp16, "[0.5, 65504]", &[2], "[0.5,65504.0]");
    check(Datatype::Bf16, "[0.5]", &[1], "[0.5]");
    check(Datatype::Fp64, "[1e308]", &[1], "[1e+308]");
    check(Datatype::Bytes, r#"["a\n","\u00e9"]"#, &[2], "[\"a\\n\",\"é\"]");
    check(Datatype::Bytes, r#"[{"b64":"YQ=="}, {"b64":"AP8"}]"#, &[2], r#"["a",{"b64":"AP8="}]"#);
    check(Datatype::Uint8, "[[[0],[255]]]", &[1, 2, 1], "[[[0],[255]]]");
    check(Datatype::Fp32, "[]", &[0], "[]");
    check(Datatype::Fp32, "[[],[]]", &[2, 0], "[[],[]]");
}

#[test]
fn a_number_is_read_to_its_last_bit() {
    let tensor = read(Datatype::Fp64, "[123456789.12345679]").unwrap();
    assert_eq!(tensor.numbers(), Some(&[123_456_789.123_456_79_f64][..]));
}

fn refuse(datatype: Datatype, json: &str, says: &str) {
    let error = read(datatype, json).expect_err(json).to_string();
    assert!(error.contains(says), "{json}: {error}");
}

#[test]
fn what_is_no_tensor_is_refused_with_the_place() {
    refuse(Datatype::Fp32, "[[1,2],[3]]", "ragged: lengths 2 and 1 side by side at line 1");
    refuse(Datatype::Fp32, "[1,[2]]", "an element stands beside a list");
    refuse(Datatype::Fp32, "[[1],2]", "an element stands beside a list");
    refuse(Datatype::Fp32, "[[],2]", "an element stands beside a list");
    refuse(Datatype::Fp32, "[[[]],[2]]", "an element stands beside a list");
    refuse(Datatype::Fp32, "[1e39]", "1e39 is not a value of FP32");
    refuse(Datatype::Fp16, "[65520]", "65520 is not a value of FP16");
    refuse(Datatype::Uint8, "[256]", "256 is not a value of UINT8");
    refuse(Datatype::Uint8, "[-1]", "-1 is not a value of UINT8");
    refuse(Datatype::Int32, "[1.0]", "1.0 is not a value of INT32");
    refuse(Datatype::Int32, r#"["1"]"#, "a string is not a value of INT32");
    refuse(Datatype::Bool, "[1]", "1 is not a value of BOOL");
    refuse(Datatype::Bytes, "[1]", "1 is not a value of BYTES");
    refuse(Datatype::Fp32, "[null]", "null is not a value of FP32");
    refuse(Datatype::Uint64, "[18446744073709551616]", "is not a value of UINT64");
    refuse(Datatype::Int64, "[-9223372036854775809]", "is not a value of INT64");
    refuse(Datatype::Fp64, "[1e309]", "1e309 is not a value of FP64");
    refuse(Datatype::Int8, &format!("[{}]", "9".repeat(1000)), "99... (1000 bytes) is not a value of INT8");
    refuse(Datatype::Bytes, r#"[{"b65":"YQ=="}]"#, "expected a value or {\"b64\": \"...\"}");
    let error = read_shaped(Datatype::Bytes, r#"[{"b64":"YQ=="}]"#, vec![1]).unwrap_err().to_string();
    assert!(error.contains("an object is not a value of BYTES"), "{error}");
    refuse(Datatype::Fp32, "[01]", "expected value");
    refuse(Datatype::Fp32, "[1true]", "expected ','");
    refuse(Datatype::Fp32, "", "EOF");
    refuse(Datatype::Fp32, "[1,", "EOF");
    refuse(Datatype::Fp32, r#"{"b64":""}"#, "a string is not a value of FP32");
    refuse(Datatype::Fp32, "[1,]", "trailing comma");
    refuse(Datatype::Fp32, "[1] [2]", "trailing characters");
    refuse(Datatype::Fp32, "[NaN]", "expected value");
    refuse(Datatype::Fp32, &"[".repeat(100_000), "nested more than 32 deep");
}

#[test]
fn data_for_a_shape_is_flat_or_nested_as_the_shape_says() {
    let read = |json, shape: &[usize]| read_shaped(Datatype::Int32, json, shape.to_vec());
    assert_eq!(read("[1,2,3,4]", &[2, 2]).unwrap(), read("[[1,2],[3,4]]", &[2, 2]).unwrap());
    assert_eq!(read("[7]", &[]).unwrap().shape(), &[] as &[usize]);
    assert_eq!(
        read("[[1,2],[3,4]]", &[4]).unwrap_err().to_string(),
        "the data is nested as [2, 2], the shape is [4]"
    );
    assert_eq!(read("[1,2,3]", &[2, 2]).unwrap_err().to_string(), "shape [2, 2] needs 4 elements, got 3");
    for (json, shape) in [("[]", &[0, 4][..]), ("[[],[]]", &[2, 0, 3]), ("[]", &[2, 0]), ("[[],[]]", &[2, 0])]
    {
        assert_eq!(read(json, shape).unwrap().shape(), shape, "{json}");
    }
    for (json, shape) in [("[[],[]]", &[3, 0][..]), ("[[],[]]", &[2, 1]), ("[[[]]]", &[1, 0])] {
        assert!(matches!(read(json, shape), Err(Error::Nesting { .. })), "{json}");
    }
    assert!(read("[]", &[1]).is_err());
    let huge = read("[1]", &[usize::MAX, usize::MAX]).unwrap_err().to_string();
    assert!(huge.contains("too many elements"), "{huge}");
}

#[test]
fn what_empty_lists_cannot_tell_is_the_models() {
    for (dims, json, shape) in [
        (&[None, Some(4)][..], "[]", &[0, 4][..]),
        (&[None, None], "[]", &[0, 0]),
        (&[Some(2), Some(0), Some(3)], "[[],[]]", &[2, 0, 3]),
        (&[None], "[]", &[0]),
        // Not the model's, which others say.
        (&[Some(2)], "[[],[]]", &[2, 0]),
        (&[], "[]", &[0]),
        (&[None, Some(4)], "[1]", &[1]),
    ] {
        assert_eq!(read_as(Datatype::Fp32, dims, json).unwrap().shape(), shape, "{json} for {dims:?}");
    }
}

#[test]
fn documents_print_as_the_json_they_are() {
    let numbers = Tensor::from_numbers(vec![2], vec![0.5f32, f32::NAN]).unwrap();
    let integers = Tensor::from_numbers(vec![2], vec![-7i64, 7]).unwrap();
    let texts = Tensor::from_strings(vec![2], [&b"a\""[..], b"\xff"].into_iter().collect()).unwrap();
    let names = Tensor::from_strings(vec![2], ["b", ""].into_iter().collect()).unwrap();
    let map = |keys: &Tensor, values: &Tensor| Document::Map(Map::new(keys.clone(), values.clone()).unwrap());
    let documents = vec![
        map(&integers, &numbers),
        map(&names, &texts),
        Document::Tensor(numbers.clone()),
        map(&names, &integers),
    ];
    let tensor = Tensor::from_documents(vec![2, 2], documents).unwrap();
    let rest = r#"{"b":"a\"","":{"b64":"/w=="}}]"#;
    assert_eq!(
        printed(&tensor, write),
        format!(r#"[[{{"-7":0.5,"7":null}},{rest},[[0.5,null],{{"b":-7,"":7}}]]"#)
    );
    assert_eq!(
        printed(&tensor, |tensor, output| write_in(Dialect::TfServing, false, tensor, output)),
        format!(r#"[[{{"-7":0.5,"7":NaN}},{rest},[[0.5,NaN],{{"b":-7,"":7}}]]"#)
    );
    let one = tensor.row(0).unwrap().row(0).unwrap();
    assert_eq!(printed(&one, write), r#"{"-7":0.5,"7":null}"#);
    let none =
        Map::new(Tensor::from_numbers::<i64>(vec![0], vec![]).unwrap(), numbers.rows(0..0).unwrap()).unwrap();
    assert_eq!(write_document(&Document::Map(none)), b"{}");
}

#[test]
fn what_is_not_finite_prints_as_null() {
    let tensor = Tensor::from_numbers(vec![3], vec![f32::NAN, f32::INFINITY, 1.0]).unwrap();
    assert_eq!(printed(&tensor, |tensor, output| write_flat(tensor, output).unwrap()), "[null,null,1.0]");
}

#[test]
fn numbers_are_rounded_as_the_standard_library_does() {
    let mut texts: Vec<String> = [
        // The middle between two f32, and next to it on both sides.
        "1.000000059604644775390625",
        "1.00000005960464477539",
        "1.0000000596046448",
        "16777217",
        "16777217.0000001",
        "16777219",
        "-0",
        "-0.0",
        "0e99",
        "5e-324",
        "1.4e-45",
        "7e-46",
        "1.1754943508222875e-38",
        "1.17549428e-38",
        "3.4028235e38",
        "3.4028235677973366e38",
        "9007199254740993",
        "9007199254740993e-3",
        "123456789012345678901234567890e-10",
        "0.000000000000000000000000000001",
        "1e22",
        "1e23",
        "8.5e-23",
    ]
    .map(String::from)
    .into();
    let mut state = 1u64;
    for _ in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        texts.push(f32::from_bits((state >> 32) as u32).to_string());
        texts.push(format!("{:e}", f64::from_bits(state)));
        texts.push(format!("{}", f64::from((state >> 40) as u32) / 16_777_216.0));
        texts.push(format!("{}.{:08}", (state >> 60), (state >> 20) as u32 % 100_000_000));
    }
    for text in texts.iter().filter(|text| !text.contains("NaN") && !text.contains("inf")) {
        let single = text.parse::<f32>().ok().filter(|number| number.is_finite()).map(f32::to_bits);
        let got = read(Datatype::Fp32, text).ok().map(|tensor| tensor.numbers::<f32>().unwrap()[0].to_bits());
        assert_eq!(got, single, "{text}");
        let double = text.parse::<f64>().unwrap().to_bits();
        let got = read(Datatype::Fp64, text).unwrap().numbers::<f64>().unwrap()[0].to_bits();
        assert_eq!(got, double, "{text}");
    }
}
