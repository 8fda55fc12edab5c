//! Requests in every form, what is refused and how it is named, responses as they are sent.

use super::*;
use crate::inference::{
    document::{Document, Map},
    spec::TensorSpec,
    tensor::{Data, Datatype, Tensor},
};
use bytes::Bytes;
use std::time::Duration;

fn read(json: &str) -> Result<InferRequest, Error> {
    parse(&Bytes::from(json.to_owned()), None, &[])
}

/// A body of JSON and bytes, and the length of the JSON.
fn body(json: &str, bytes: &[u8]) -> (Bytes, Option<usize>) {
    (Bytes::from([json.as_bytes(), bytes].concat()), Some(json.len()))
}

fn spec(datatype: Datatype, shape: &[i64]) -> TensorSpec {
    let shape = shape.iter().map(|dim| usize::try_from(*dim).ok()).collect();
    TensorSpec { name: "x".into(), datatype, shape, any_rank: false }
}

/// As tritonclient and perf_analyzer write them.
#[test]
fn numbers_that_json_has_no_word_for_are_read() {
    for members in [
        r#""shape":[3],"datatype":"FP32","data":[NaN,-Infinity,Infinity]"#,
        r#""data":[[NaN,-Infinity,Infinity]],"shape":[1,3],"datatype":"FP32""#,
    ] {
        let request = read(&format!(r#"{{"inputs":[{{"name":"x",{members}}}]}}"#)).unwrap();
        let [nan, rest @ ..] = request.inputs[0].tensor.numbers::<f32>().unwrap() else {
            panic!("{members}")
        };
        assert!(nan.is_nan());
        assert_eq!(rest, [f32::NEG_INFINITY, f32::INFINITY]);
    }
}

#[test]
fn a_request_is_read_in_any_order_of_its_members() {
    for json in [
        r#"{"extra":{"a":[[1]]},"outputs":[{"name":"y","parameters":{"x":1}}],"id":"7",
            "inputs":[{"data":[[1,2],[3,4]],"datatype":"FP32","shape":[2,2],"name":"x"}]}"#,
        r#"{"inputs":[{"name":"x","datatype":"FP32","data":[1,2,3,4],"shape":[2,2]}],"outputs":[{"name":"y"}],"id":"7"}"#,
        r#"{"id":"\u0037","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":null,"data":[1,2,3,4]}],"outputs":[{"name":"y"}]}"#,
    ] {
        let request = read(json).unwrap();
        assert_eq!(request.id.as_deref(), Some("7"));
        assert_eq!(
            request.outputs,
            [RequestedOutput { name: "y".into(), binary: None, classification: None }]
        );
        assert_eq!(request.inputs[0].name, "x");
        assert_eq!(request.inputs[0].tensor.shape(), [2, 2]);
        assert_eq!(request.inputs[0].tensor.numbers::<f32>(), Some(&[1.0, 2.0, 3.0, 4.0][..]));
    }
}

#[test]
fn parameters_are_those_of_the_extensions() {
    let request = read(
        r#"{"parameters":{"timeout":2500,"priority":"high","binary_data_output":true,"nested":{"a":[null]}},"inputs":[],
            "outputs":[{"name":"a"},{"name":"b","parameters":{"binary_data":false,"classification":3,"x":[]}}]}"#,
    )
    .unwrap();
    assert_eq!(request.timeout, Some(Duration::from_micros(2500)));
    assert_eq!([request.is_binary("a"), request.is_binary("b"), request.is_binary("c")], [true, false, true]);
    assert_eq!(request.outputs[1].classification, Some(3));
    for (parameters, timeout) in [("null", None), ("{}", None), (r#"{"timeout":0}"#, None)] {
        let request = read(&format!(r#"{{"parameters":{parameters},"inputs":[]}}"#)).unwrap();
        assert_eq!((request.timeout, request.binary_output), (timeout, false));
    }
}

#[test]
fn what_is_wrong_is_named() {
    let check = |json: &str, says: &str| {
        let error = read(json).expect_err(json).to_string();
        assert!(error.contains(says), "{json}: {error}");
    };
    let input = |rest: &str| format!(r#"{{"inputs":[{{"name":"x",{rest}}}]}}"#);
    check("", "inference request: EOF");
    check("{}", "missing field `inputs`");
    check("[1", "inference request: expected an object");
    check(r#"{"id":7,"inputs":[]}"#, "expected a string");
    check(r#"{"inputs":[],"inputs":[]}"#, "'inputs' is given twice");
    check(r#"{"inputs":[],"parameters":{"timeout":1,"timeout":1}}"#, "'timeout' is given twice");
    check(
        r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":true,"binary_data":true}}]}"#,
        "'binary_data' is given twice",
    );
    check(
        r#"{"inputs":[{"parameters":{"binary_data_size":1,"binary_data_size":1}}]}"#,
        "'binary_data_size' is given twice",
    );
    check("\u{feff}{}", "there is a byte order mark before the JSON at line 1 column 1");
    check(&format!(r#"{{"inputs":[{{"shape":[{}1]}}]}}"#, "1,".repeat(32)), "more than 32 dimensions");
    let output = r#"{"name":"y"},"#.repeat(4096);
    check(&format!(r#"{{"outputs":[{output}{{}}]}}"#), "more than 4096 outputs");
    check(&input(r#""shape":[1],"datatype":"FP31","data":[1]"#), "input 'x' has an unknown datatype 'FP31'");
    check(&input(r#""shape":[1],"datatype":"FP32""#), "input 'x' has neither `data` nor");
    check(&input(r#""datatype":"FP32","data":[1]"#), "missing field `shape`");
    check(
        &input(r#""shape":[-1],"datatype":"FP32","data":[1]"#),
        "a dimension must be a whole number from 0, got '-1",
    );
    check(&input(r#""shape":[1e2],"datatype":"FP32","data":[1]"#), "got '1e2");
    check(&input(r#""shape":[18446744073709551616],"datatype":"FP32","data":[1]"#), "a dimension must be");
    let form = r#""shape":[1],"datatype":"FP32","data":[1],"parameters":{"binary_data_size":4}"#;
    check(&input(form), "input 'x' has both `data` and `parameters.binary_data_size`");
    check(
        &input(r#""shape":[2],"datatype":"FP32","data":[1]"#),
        "input 'x': shape [2] needs 2 elements, got 1",
    );
    check(&input(r#""shape":[4611686018427387904,4],"datatype":"FP32","data":[1]"#), "too many elements");
    check(&input(r#""shape":[1],"datatype":"INT8","data":[200]"#), "input 'x': 200 is not a value of INT8");
    check(&input(r#""data":[200],"shape":[1],"datatype":"INT8""#), "input 'x': 200 is not a value of INT8");
    check(
        &input(r#""shape":[1],"datatype":"FP32","data":[1e308]"#),
        "input 'x': 1e308 is not a value of FP32",
    );
    check(&input(r#""shape":[1],"datatype":"FP32","data":[nan]"#), "expected value");
    check(&input(r#""shape":[1],"datatype":"INT8","data":[NaN]"#), "input 'x': NaN is not a value of INT8");
    check(&input(r#""shape":[NaN],"datatype":"FP32","data":[1]"#), "a dimension must be a whole number");
    let twice = r#"{"name":"x","shape":[1],"datatype":"FP32","data":[1]}"#;
    check(&format!(r#"{{"inputs":[{twice},{twice}]}}"#), "input 'x' is given twice");
    check(r#"{"inputs":[],"outputs":[{"name":"y"},{"name":"y"}]}"#, "output 'y' is given twice");
    for (parameters, says) in [
        (r#"{"timeout":-1}"#, "timeout, in microseconds, must be a whole number from 0, got '-1'"),
        (r#"{"timeout":1.5}"#, "timeout"),
        (r#"{"timeout":"1"}"#, "timeout"),
        (r#"{"binary_data_output":1}"#, "binary_data_output must be true or false"),
        ("[]", "expected an object of parameters"),
    ] {
        check(&format!(r#"{{"inputs":[],"parameters":{parameters}}}"#), says);
    }
    for (parameters, says) in [
        (r#"{"classification":0}"#, "classification must be a number of classes, at least 1"),
        (r#"{"classification":true}"#, "classification must be"),
        (r#"{"binary_data":"true"}"#, "binary_data must be true or false"),
    ] {
        check(&format!(r#"{{"inputs":[],"outputs":[{{"name":"y","parameters":{parameters}}}]}}"#), says);
    }
    for open in [
        r#"{"inputs":"#,
        r#"{"x":"#,
        r#"{"inputs":[{"name":"x","datatype":"FP32","data":"#,
        r#"{"inputs":[{"data":"#,
    ] {
        assert!(read(&(open.to_owned() + &"[".repeat(100_000))).is_err());
    }
    assert!(
        parse(&Bytes::from_static(b"{\"\xc3\":1}"), None, &[]).unwrap_err().to_string().contains("UTF-8")
    );
}

const MIXED: &str = r#"{"inputs":[
    {"name":"a","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},
    {"name":"b","shape":[1],"datatype":"INT8","data":[5]},
    {"name":"c","shape":[3],"datatype":"BYTES","parameters":{"binary_data_size":15}},
    {"parameters":{"binary_data_size":2},"name":"d","shape":[2],"datatype":"BOOL"},
    {"name":"e","shape":[1,0],"datatype":"BF16","parameters":{"binary_data_size":0}}]}"#;

const MIXED_BYTES: &[u8] = b"\0\0\x80\x3f\0\0\0\x40\x02\0\0\0hi\0\0\0\0\x01\0\0\0!\0\x01";

#[test]
fn tensors_as_bytes_are_parts_of_the_body() {
    let (body, header) = body(MIXED, MIXED_BYTES);
    let request = parse(&body, header, &[]).unwrap();
    let tensors: Vec<_> = request.inputs.iter().map(|input| &input.tensor).collect();
    assert_eq!(tensors[0].to_f32(), Some(vec![1.0, 2.0]));
    assert_eq!(tensors[1].numbers(), Some(&[5i8][..]));
    assert_eq!(tensors[2].data(), &Data::Strings(["hi", "", "!"].into_iter().collect()));
    assert_eq!(tensors[3].numbers(), Some(&[false, true][..]));
    assert_eq!(tensors[4].shape(), [1, 0]);
    let Data::Numbers(bytes) = tensors[0].data() else { panic!() };
    assert!(body.as_ptr_range().contains(&bytes.as_ptr()));
    // Of a body that ends early nothing is read, wherever it ends.
    for end in 0..body.len() {
        assert!(parse(&body.slice(..end), header, &[]).is_err(), "{end}");
    }
}

#[test]
fn bytes_that_do_not_fit_are_named() {
    let json = |datatype: &str, shape: &str, size: &str| {
        format!(
            r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    let check = |json: &str, bytes: &[u8], says: &str| {
        let (body, header) = body(json, bytes);
        let error = parse(&body, header, &[]).expect_err(json).to_string();
        assert!(error.contains(says), "{json}: {error}");
    };
    let element = "input 'x': element 1 needs";
    check(&json("FP32", "[1]", "4"), &[0; 3], "input 'x': binary_data_size is 4, the body has 3 bytes left");
    check(&json("FP32", "[1]", "4"), &[0; 6], "2 bytes are left in the body behind the last input's");
    check(&json("FP32", "[2]", "4"), &[0; 4], "input 'x': shape [2] needs 8 bytes of FP32, got 4");
    check(&json("FP32", "[4611686018427387904]", "4"), &[0; 4], "too many elements");
    check(&json("FP32", "[1]", "18446744073709551615"), &[0; 4], "the body has 4 bytes left");
    check(&json("FP32", "[1]", "-4"), &[0; 4], "binary_data_size must be a whole number from 0");
    check(&json("BOOL", "[1]", "1"), &[2], "input 'x': a BOOL element is 2, not 0 or 1");
    check(&json("BYTES", "[2]", "7"), b"\0\0\0\0\x01\0\0", &format!("{element} 4 bytes, 3 are left"));
    check(
        &json("BYTES", "[2]", "8"),
        b"\0\0\0\0\xff\xff\xff\xff",
        &format!("{element} 4294967295 bytes, 0 are"),
    );
    check(&json("BYTES", "[3]", "8"), &[0; 8], "input 'x': shape [3] needs 3 elements, got 2");
    check(&json("BYTES", "[1]", "8"), &[0; 8], "input 'x': shape [1] needs 1 elements, got 2");
    check(&json("BYTES", "[9223372036854775807]", "0"), &[], "needs 9223372036854775807 elements, got 0");
    let error = parse(&Bytes::from_static(b"{}"), Some(3), &[]).unwrap_err().to_string();
    assert_eq!(error, "Inference-Header-Content-Length is 3, the body has 2 bytes");
}

#[test]
fn bytes_alone_tell_the_shape_where_they_can() {
    use Datatype::{Bytes as Text, Fp32, Fp64, Uint8};
    let shape = |datatype, dims: &[i64], length: usize| {
        binary::raw(&spec(datatype, dims), &Bytes::from(vec![0; length]))
            .map(|tensor| tensor.shape().to_vec())
    };
    for (datatype, dims, length, want) in [
        (Fp32, &[-1, 4][..], 16, &[1, 4][..]),
        (Fp32, &[-1, 4], 48, &[3, 4]),
        (Fp32, &[2, -1], 24, &[2, 3]),
        (Fp32, &[-1, -1], 12, &[1, 3]),
        (Fp32, &[-1, 2, -1], 24, &[1, 2, 3]),
        (Fp32, &[2, 2], 16, &[2, 2]),
        (Fp32, &[], 4, &[]),
        (Uint8, &[-1], 5, &[5]),
        (Text, &[-1], 9, &[1]),
        (Text, &[-1, 1], 0, &[1, 1]),
        (Text, &[-1, -1], 2, &[1, 1]),
        (Text, &[], 2, &[]),
    ] {
        assert_eq!(shape(datatype, dims, length).as_deref(), Ok(want), "{datatype} {dims:?} {length}");
    }
    for (datatype, dims, length, says) in [
        (Fp32, &[-1, 4][..], 17, "17 bytes are no FP32 tensor of [-1, 4]: that needs a multiple of 16"),
        (Fp32, &[-1, 4], 0, "0 bytes are no FP32"),
        (Fp32, &[2, -1], 12, "multiple of 8"),
        (Fp32, &[2, 2], 15, "shape [2, 2] needs 16 bytes of FP32, got 15"),
        (Fp32, &[2, -1, -1], 16, "do not tell the shape of a FP32 tensor of [2, -1, -1]"),
        (Fp32, &[-1, -1, -1], 16, "do not tell the shape"),
        (Fp32, &[-1, 0], 0, "do not tell the shape"),
        (Fp64, &[-1, i64::MAX], 8, "too many elements"),
        (Text, &[-1, 2], 8, "do not tell the shape of a BYTES tensor of [-1, 2]"),
    ] {
        let error = shape(datatype, dims, length).unwrap_err().to_string();
        assert!(error.contains(says), "{dims:?}: {error}");
    }
    let body = Bytes::from_static(b"abc");
    let request = parse(&body, Some(0), &[spec(Text, &[-1])]).unwrap();
    assert_eq!(request.inputs[0].tensor.data(), &Data::Strings([&body].into_iter().collect()));
    assert!(request.is_binary("y"));
    let specs = [spec(Text, &[-1]), spec(Text, &[-1])];
    assert!(parse(&body, Some(0), &specs).unwrap_err().to_string().contains("one input, this has 2"));
}

#[test]
fn a_response_is_the_json_of_the_protocol_and_the_bytes_behind_it() {
    let numbers = Tensor::from_numbers(vec![1, 2], vec![0.5f32, f32::NAN]).unwrap();
    let strings = Tensor::from_strings(vec![2], ["hi", ""].into_iter().collect()).unwrap();
    let print = |outputs: &[(&'static str, &Tensor, bool)], id| {
        let output = |&(name, tensor, binary)| Output { name, tensor, binary };
        let outputs = outputs.iter().map(output).collect();
        print(&InferResponse { model_name: "m", model_version: "1", id, outputs }).unwrap()
    };
    let json = print(&[("y\"", &numbers, false)], Some("a"));
    assert_eq!((json.header_length(), json.tensors.len()), (None, 0));
    assert_eq!(
        String::from_utf8(json.into_pieces().concat()).unwrap(),
        r#"{"model_name":"m","model_version":"1","id":"a","outputs":[{"name":"y\"","datatype":"FP32","shape":[1,2],"data":[0.5,null]}]}"#
    );
    let mixed = print(&[("a", &numbers, true), ("b", &strings, false), ("c", &strings, true)], None);
    let head = r#"{"model_name":"m","model_version":"1","outputs":[{"name":"a","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},{"name":"b","datatype":"BYTES","shape":[2],"data":["hi",""]},{"name":"c","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":10}}]}"#;
    assert_eq!(String::from_utf8(mixed.head.clone()).unwrap(), head);
    assert_eq!(mixed.header_length(), Some(head.len()));
    let Data::Numbers(bytes) = numbers.data() else { panic!() };
    assert_eq!(mixed.tensors[0].as_ptr(), bytes.as_ptr());
    assert_eq!(mixed.tensors[1], &b"\x02\0\0\0hi\0\0\0\0"[..]);
    let body = mixed.clone().into_pieces();
    assert_eq!((body.len(), body[0].len()), (1, head.len() + 18));
    assert!(body[0].ends_with(&mixed.tensors[1]));
}

#[test]
fn large_tensors_are_pieces_of_their_own() {
    let (small, large) = (vec![1u8; 100], vec![2u8; 20_000]);
    let tensor = |numbers: &Vec<u8>| Tensor::from_numbers(vec![numbers.len()], numbers.clone()).unwrap();
    let (small_tensor, large_tensor) = (tensor(&small), tensor(&large));
    let print = |tensors: &[&Tensor]| {
        let outputs = tensors.iter().map(|tensor| Output { name: "x", tensor, binary: true }).collect();
        print(&InferResponse { model_name: "m", model_version: "1", id: None, outputs }).unwrap()
    };
    for (tensors, count) in [
        (&[&small_tensor, &small_tensor][..], 1),
        (&[&large_tensor], 2),
        (&[&small_tensor, &large_tensor, &small_tensor, &small_tensor], 3),
        (&[&large_tensor, &large_tensor], 3),
    ] {
        let printed = print(tensors);
        let whole = [&[Bytes::from(printed.head.clone())], &printed.tensors[..]].concat().concat();
        let pieces = printed.into_pieces();
        assert_eq!(pieces.len(), count);
        assert_eq!(pieces.concat(), whole);
        let large: Vec<_> = pieces.iter().filter(|piece| piece.len() == 20_000).collect();
        let Data::Numbers(bytes) = large_tensor.data() else { panic!() };
        assert!(large.iter().all(|piece| piece.as_ptr() == bytes.as_ptr()), "not copied");
    }
}

#[test]
fn strings_that_are_no_text_go_as_bytes_alone() {
    let strings = Tensor::from_strings(vec![2], ["ü".as_bytes(), b"\0\xff"].into_iter().collect()).unwrap();
    let print = |binary| {
        let outputs = vec![Output { name: "s", tensor: &strings, binary }];
        print(&InferResponse { model_name: "m", model_version: "1", id: None, outputs })
    };
    assert_eq!(print(true).unwrap().tensors, [&b"\x02\0\0\0\xc3\xbc\x02\0\0\0\0\xff"[..]]);
    let says = r#"output 's': element 1 is not UTF-8, which JSON cannot carry; ask for it as bytes, by "parameters": {"binary_data": true}"#;
    assert_eq!(print(false).unwrap_err().to_string(), says);
}

#[test]
fn documents_are_texts() {
    let numbers = Tensor::from_numbers(vec![2], vec![0.5f32, f32::NAN]).unwrap();
    let keys = Tensor::from_strings(vec![2], ["a\"", "b"].into_iter().collect()).unwrap();
    let map = Document::Map(Map::new(keys, numbers).unwrap());
    let documents = Tensor::from_documents(vec![1], vec![map]).unwrap();
    let print = |binary| {
        let outputs = vec![Output { name: "d", tensor: &documents, binary }];
        print(&InferResponse { model_name: "m", model_version: "1", id: None, outputs }).unwrap()
    };
    let head = String::from_utf8(print(false).head).unwrap();
    let data = r#"{"name":"d","datatype":"BYTES","shape":[1],"data":["{\"a\\\"\":0.5,\"b\":null}"]}]}"#;
    assert!(head.ends_with(data), "{head}");
    assert_eq!(print(true).tensors, [&b"\x14\0\0\0{\"a\\\"\":0.5,\"b\":null}"[..]]);
}
