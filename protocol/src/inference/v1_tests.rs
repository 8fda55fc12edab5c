//! Both formats read and printed, and what is refused.

use super::*;

fn spec(name: &str, datatype: Datatype) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: vec![None, None], any_rank: false }
}

fn two() -> [TensorSpec; 2] {
    [spec("x", Datatype::Fp32), spec("s_bytes", Datatype::Bytes)]
}

/// The inputs that come of a body, printed as outputs by tensor.
fn check(specs: &[TensorSpec], body: &str, format: Format, shapes: &[&[usize]], printed: &str) {
    let request = parse(body.as_bytes(), specs).unwrap_or_else(|error| panic!("{body}: {error}"));
    assert_eq!(request.format, format, "{body}");
    let got: Vec<_> = request.inputs.iter().map(|input| input.tensor.shape()).collect();
    assert_eq!(got, shapes, "{body}");
    let outputs: Vec<_> = request.inputs.iter().map(|input| (&*input.name, &input.tensor)).collect();
    let text = String::from_utf8(print(Format::Columnar, &outputs).unwrap()).unwrap();
    assert_eq!(text, format!("{{\"outputs\":{printed}}}"), "{body}");
}

#[test]
fn rows_and_columns_are_read() {
    let one = [spec("x", Datatype::Fp32)];
    let rows = |body, shape: &[usize], printed| check(&one, body, Format::Row, &[shape], printed);
    rows(r#"{"instances":[[1,2],[3,4]]}"#, &[2, 2], "[[1.0,2.0],[3.0,4.0]]");
    rows(r#"{"signature_name":7,"instances":[1]}"#, &[1], "[1.0]");
    rows(r#"{"instances":[{"x":[1,2]},{"x":[3,4]}]}"#, &[2, 2], "[[1.0,2.0],[3.0,4.0]]");
    rows(r#"{"instances":[NaN,-Infinity,Infinity, -1]}"#, &[4], "[NaN,-Infinity,Infinity,-1.0]");
    check(&one, r#"{"inputs":[[1]],"x":[NaN]}"#, Format::Columnar, &[&[1, 1]], "[[1.0]]");
    check(&one, r#"{"inputs":{"x":5}}"#, Format::Columnar, &[&[]], "5.0");
    // A model may call its input so.
    check(&[spec("b64", Datatype::Fp32)], r#"{"inputs":{"b64":[1]}}"#, Format::Columnar, &[&[1]], "[1.0]");
}

#[test]
fn strings_are_text_or_base64() {
    let one = [spec("s", Datatype::Bytes)];
    let text = r#"{"instances":["a",{"b64":"YWI="},{ "b64" : "YWI" }]}"#;
    check(&one, text, Format::Row, &[&[3]], r#"["a","ab","ab"]"#);
    check(&one, r#"{"instances":[{"b64":"YQ=="}]}"#, Format::Row, &[&[1]], r#"["a"]"#);
    check(&one, r#"{"inputs":{"b64":"YQ=="}}"#, Format::Columnar, &[&[]], r#""a""#);
    check(&one, r#"{"inputs":{"s":[[{"b64":""}]]}}"#, Format::Columnar, &[&[1, 1]], r#"[[""]]"#);
}

#[test]
fn several_inputs_are_named() {
    check(
        &two(),
        r#"{"instances":[{"s_bytes":"a","x":[1,2]},{"x":[3,4],"s_bytes":{"b64":"/w=="}}]}"#,
        Format::Row,
        &[&[2, 2], &[2]],
        r#"{"x":[[1.0,2.0],[3.0,4.0]],"s_bytes":[{"b64":"YQ=="},{"b64":"/w=="}]}"#,
    );
    check(
        &two(),
        r#"{"inputs":{"x":[1],"s_bytes":["b"]}}"#,
        Format::Columnar,
        &[&[1], &[1]],
        r#"{"x":[1.0],"s_bytes":[{"b64":"Yg=="}]}"#,
    );
    // Whether an input may be left out is the model's matter.
    check(&two(), r#"{"instances":[{"x":1},{"x":2}]}"#, Format::Row, &[&[2]], "[1.0,2.0]");
}

#[test]
fn what_is_wrong_is_named() {
    for (body, says) in [
        ("", "not a predict request: EOF"),
        ("[1]", "expected an object"),
        ("{}", "neither of `instances` and `inputs`"),
        (r#"{"inputs":{},"instances":[{"x":1}]}"#, "more than one of"),
        (r#"{"instances":[]}"#, "`instances` is empty"),
        (r#"{"instances":{"x":1}}"#, "expected a list of instances"),
        (r#"{"instances":[1]}"#, "the model has 2 inputs, so that they must be named"),
        (r#"{"instances":[{"b64":"YQ=="}]}"#, "the model has 2 inputs"),
        (r#"{"inputs":[1]}"#, "the model has 2 inputs"),
        (r#"{"instances":[{"y":1}]}"#, "no input 'y'"),
        (r#"{"instances":[{"x":1},{"s_bytes":""}]}"#, "instance 0 has no input 's_bytes'"),
        (r#"{"instances":[{"x":1,"s_bytes":""},{"s_bytes":""}]}"#, "instance 1 has no input 'x'"),
        (r#"{"instances":[{"x":1},{}]}"#, "instance 1 has no input 'x'"),
        (r#"{"instances":[{},{"x":1}]}"#, "instance 0 has no input 'x'"),
        (r#"{"instances":[{"x":1},1]}"#, "expected an object of inputs by name"),
        (r#"{"instances":[{"x":1,"x":2}]}"#, "input 'x' is given twice"),
        (r#"{"inputs":{"x":1,"x":2}}"#, "input 'x' is given twice"),
        (r#"{"instances":[{"x":[1,2]},{"x":[3]}]}"#, "input 'x': the lists are ragged: lengths 2 and 1"),
        (r#"{"instances":[{"x":[1]},{"x":3}]}"#, "input 'x': an element stands beside a list"),
        (r#"{"instances":[{"x":1},{"x":[3]}]}"#, "input 'x': an element stands beside a list"),
        (r#"{"inputs":{"x":"a"}}"#, "input 'x': a string is not a value of FP32"),
        (r#"{"inputs":{"x":{"b64":"YQ=="}}}"#, "input 'x': a string is not a value of FP32"),
        (r#"{"inputs":{"s_bytes":NaN}}"#, "input 's_bytes': NaN is not a value of BYTES"),
        (r#"{"inputs":{"s_bytes":{"b64":"*"}}}"#, "input 's_bytes': b64: "),
        (r#"{"inputs":{"s_bytes":{"b64":"YQ==","c":1}}}"#, "expected a value or {\"b64\""),
        (r#"{"inputs":{"s_bytes":{}}}"#, "expected a value or {\"b64\""),
        (r#"{"inputs":{"x":nan}}"#, "expected value"),
        (r#"{"inputs":{"x":NaNa}}"#, "expected ','"),
        (r#"{"inputs":{"x":--Infinity}}"#, "expected value"),
        (r#"{"inputs":{"x":1}} 1"#, "trailing characters"),
    ] {
        let error = parse(body.as_bytes(), &two()).expect_err(body).to_string();
        assert!(error.contains(says), "{body}: {error}");
    }
    assert!(parse(b"{\"\xff\":1}", &two()).unwrap_err().to_string().contains("not UTF-8 at line 1 column 3"));
    for open in ["{\"inputs\":{\"x\":", "{\"y\":"] {
        let deep = open.to_owned() + &"[".repeat(100_000);
        assert!(parse(deep.as_bytes(), &two()).unwrap_err().to_string().contains("deep"));
    }
    let good = r#"{"instances":[{"s_bytes":"a\n","x":[1,2]},{"x":[-3e1,NaN],"s_bytes":{"b64":"/w=="}}]}"#;
    assert!(parse(good.as_bytes(), &two()).is_ok());
    (0..good.len()).for_each(|end| assert!(parse(&good.as_bytes()[..end], &two()).is_err(), "{end}"));
}

#[test]
fn an_answer_is_in_the_format_of_its_request() {
    let x = Tensor::from_numbers(vec![2, 1], vec![1i32, -2]).unwrap();
    let y = Tensor::from_strings(vec![2], [&b"a\""[..], b"\xff"].into_iter().collect()).unwrap();
    let single = Tensor::from_numbers(vec![], vec![f32::NAN]).unwrap();
    for (format, outputs, printed) in [
        (Format::Row, &[("x", &x)][..], r#"{"predictions":[[1],[-2]]}"#),
        (Format::Columnar, &[("x", &x)], r#"{"outputs":[[1],[-2]]}"#),
        (
            Format::Row,
            &[("x", &x), ("y_bytes", &y)],
            r#"{"predictions":[{"x":[1],"y_bytes":{"b64":"YSI="}},{"x":[-2],"y_bytes":{"b64":"/w=="}}]}"#,
        ),
        (
            Format::Columnar,
            &[("x", &x), ("y", &y)],
            r#"{"outputs":{"x":[[1],[-2]],"y":["a\"",{"b64":"/w=="}]}}"#,
        ),
        // Only strings are printed so.
        (Format::Columnar, &[("x_bytes", &x)], r#"{"outputs":[[1],[-2]]}"#),
        (Format::Columnar, &[("s", &single)], r#"{"outputs":NaN}"#),
    ] {
        assert_eq!(String::from_utf8(print(format, outputs).unwrap()).unwrap(), printed);
    }
    let error = print(Format::Row, &[("x", &x), ("s", &single)]).unwrap_err().to_string();
    assert!(error.contains("output 's' of shape [] has no 2 rows"), "{error}");
    assert!(print(Format::Row, &[("s", &single)]).is_err());
}
