//! Texts that are no JSON, or not the JSON that they should be.

use super::{Case, check_all, input, request};

const V2: &str = "/v2/models/identity_float/infer";
const V1: &str = "/v1/models/identity_float:predict";
const PREDICT: &str = "/predict/identity_float";

/// The same nonsense in the place of each member.
fn everywhere(nonsense: &str, says: &[&str]) -> Vec<Case> {
    let tensor = |data: &str| input("x", "FP32", "[1,1]", &format!(r#""data":{data}"#));
    let one = tensor("[1]");
    let v2 = |body: String| Case::json(V2, body, says);
    let v1 = |body: String| Case::json(V1, body, says);
    let predict = |body: String| Case::json(PREDICT, body, says);
    vec![
        v1(nonsense.into()),
        v1(format!(r#"{{"instances":{nonsense}}}"#)),
        v1(format!(r#"{{"instances":[{nonsense}]}}"#)),
        v1(format!(r#"{{"instances":[{{"x":{nonsense}}}]}}"#)),
        v1(format!(r#"{{"inputs":{nonsense}}}"#)),
        v1(format!(r#"{{"inputs":{{"x":{nonsense}}}}}"#)),
        v1(format!(r#"{{"signature_name":{nonsense},"instances":[[1]]}}"#)),
        v2(nonsense.into()),
        v2(request(&[tensor(nonsense)])),
        v2(format!(r#"{{"id":{nonsense},"inputs":[{one}]}}"#)),
        v2(format!(r#"{{"unknown":{nonsense},"inputs":[{one}]}}"#)),
        v2(format!(r#"{{"parameters":{nonsense},"inputs":[{one}]}}"#)),
        v2(format!(r#"{{"parameters":{{"unknown":{nonsense}}},"inputs":[{one}]}}"#)),
        v2(format!(r#"{{"inputs":{nonsense}}}"#)),
        v2(format!(r#"{{"inputs":[{nonsense}]}}"#)),
        v2(format!(r#"{{"inputs":[{one}],"outputs":{nonsense}}}"#)),
        v2(format!(r#"{{"inputs":[{one}],"outputs":[{nonsense}]}}"#)),
        v2(format!(r#"{{"inputs":[{{"name":{nonsense}}}]}}"#)),
        v2(format!(r#"{{"inputs":[{{"shape":{nonsense}}}]}}"#)),
        v2(format!(r#"{{"inputs":[{{"datatype":{nonsense}}}]}}"#)),
        v2(format!(r#"{{"inputs":[{{"data":{nonsense}}}]}}"#)),
        predict(nonsense.into()),
        predict(format!(r#"{{"inputs":{nonsense}}}"#)),
        predict(format!(r#"{{"inputs":{{"x":{nonsense}}}}}"#)),
        predict(format!(r#"{{"unknown":{nonsense},"inputs":{{"x":[[1]]}}}}"#)),
    ]
}

#[test]
fn what_is_not_json_is_refused_wherever_it_stands() {
    let mut cases = Vec::new();
    for nonsense in [
        "[",
        "{",
        "[1,]",
        "{\"x\":1,}",
        "[1 2]",
        "{\"x\" 1}",
        "{1:2}",
        "tru",
        "nul",
        "'x'",
        "\"",
        "\"\\x\"",
        "\"\\",
        "}",
        "\\",
    ] {
        cases.extend(everywhere(nonsense, &["line 1 column"]));
    }
    // Control characters, lone surrogates, a NUL.
    for nonsense in ["\"a\nb\"", "\"a\u{0}b\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\u{0}"] {
        cases.extend(everywhere(nonsense, &["line"]));
    }
    check_all(&cases, 16 << 20);
}

#[test]
fn depth_is_bounded_wherever_it_is() {
    let mut cases = Vec::new();
    for nonsense in [
        "[".repeat(100_000),
        "{\"x\":".repeat(100_000),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{}1{}", "{\"x\":[".repeat(50_000), "]}".repeat(50_000)),
    ] {
        cases.extend(everywhere(&nonsense, &["line 1 column"]));
    }
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    cases.push(Case::json(PREDICT, &deep, &["nested more than 32 deep"]));
    check_all(&cases, 16 << 20);
}

#[test]
fn bytes_that_are_no_text_and_what_stands_before_and_behind_is_refused() {
    let good = request(&[input("x", "FP32", "[1,1]", r#""data":[1]"#)]);
    let mut cases = Vec::new();
    for (target, good) in [
        (V2, good.as_str()),
        (V1, r#"{"instances":[[1]]}"#),
        (PREDICT, "[[1]]"),
        (PREDICT, r#"{"inputs":{"x":[[1]]}}"#),
    ] {
        for (body, says) in [
            (String::new(), "EOF"),
            (" \n\t ".into(), "EOF"),
            (format!("\u{feff}{good}"), "byte order mark"),
            (format!("{good}x"), "trailing characters"),
            (format!("{good}{good}"), "trailing characters"),
            (format!("{good}\u{0}"), "trailing characters"),
            (format!("{good},"), "trailing characters"),
            (good[..good.len() - 1].into(), "EOF"),
        ] {
            cases.push(Case::json(target, body, &[says]));
        }
        for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0"] {
            cases.push(Case::json(target, [bytes, good.as_bytes()].concat(), &["line 1 column"]));
            cases.push(Case::json(target, [good.as_bytes(), bytes].concat(), &["line 1 column"]));
            let name = [&b"{\"inputs\":{\""[..], bytes, b"\":[[1]]}}"].concat();
            cases.push(Case::json(target, name, &["line 1 column"]));
        }
        // Wide text is text as well, but not ours.
        let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
        cases.push(Case::json(target, wide, &["line 1 column"]));
    }
    check_all(&cases, 16 << 20);
}

#[test]
fn nothing_is_not_taken_for_something() {
    let one = input("x", "FP32", "[1,1]", r#""data":[1]"#);
    let member = |name: &str, says: &'static str| {
        let members = [("name", "\"x\""), ("datatype", "\"FP32\""), ("shape", "[1,1]"), ("data", "[1]")];
        let value = |(other, value): (&str, &'static str)| if other == name { "null" } else { value };
        let members = members.map(|member| format!("\"{}\":{}", member.0, value(member)));
        Case::json(V2, format!(r#"{{"inputs":[{{{}}}]}}"#, members.join(",")), &[says])
    };
    let cases = [
        Case::json(V2, "null", &["expected an object"]),
        Case::json(V2, r#"{"inputs":null}"#, &["expected a list of inputs"]),
        Case::json(V2, r#"{"inputs":[null]}"#, &["expected an input, which is an object"]),
        Case::json(V2, format!(r#"{{"inputs":[{one}],"outputs":null}}"#), &["expected a list of outputs"]),
        Case::json(V2, format!(r#"{{"inputs":[{one}],"outputs":[null]}}"#), &["expected an output"]),
        Case::json(
            V2,
            format!(r#"{{"inputs":[{one}],"outputs":[{{"name":null}}]}}"#),
            &["expected a string"],
        ),
        member("name", "expected a string"),
        member("datatype", "expected a string"),
        member("shape", "expected a list of dimensions"),
        member("data", "input 'x': null is not a value of FP32"),
        Case::json(V1, "null", &["expected an object"]),
        Case::json(V1, r#"{"instances":null}"#, &["expected a list of instances"]),
        Case::json(V1, r#"{"instances":[null]}"#, &["input 'x': null is not a value of FP32"]),
        Case::json(V1, r#"{"instances":[{"x":null}]}"#, &["input 'x': null is not a value of FP32"]),
        Case::json(V1, r#"{"inputs":null}"#, &["input 'x': null is not a value of FP32"]),
        Case::json(V1, r#"{"inputs":{"x":null}}"#, &["input 'x': null is not a value of FP32"]),
        Case::json(PREDICT, "null", &["input 'x': null is not a value of FP32"]),
        Case::json(PREDICT, "[[null]]", &["input 'x': null is not a value of FP32"]),
        Case::json(PREDICT, r#"{"inputs":null}"#, &["expected an object of lists by name"]),
        Case::json(PREDICT, r#"{"inputs":{"x":null}}"#, &["input 'x': null is not a value of FP32"]),
    ];
    check_all(&cases, 16 << 20);
}

#[test]
fn what_is_given_twice_is_refused() {
    let one = input("x", "FP32", "[1,1]", r#""data":[1]"#);
    let member = |twice: &str| {
        format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,1],"data":[1],{twice}}}]}}"#)
    };
    let y = r#"{"name":"y"}"#;
    let cases = [
        Case::json(V2, request(&[one.clone(), one.clone()]), &["input 'x' is given twice"]),
        Case::json(V2, format!(r#"{{"inputs":[{one}],"inputs":[{one}]}}"#), &["'inputs' is given twice"]),
        Case::json(
            V2,
            format!(r#"{{"inputs":[{one}],"outputs":[{y},{y}]}}"#),
            &["output 'y' is given twice"],
        ),
        Case::json(
            V2,
            format!(r#"{{"inputs":[{one}],"outputs":[],"outputs":[]}}"#),
            &["'outputs' is given twice"],
        ),
        Case::json(V2, format!(r#"{{"id":"a","id":"b","inputs":[{one}]}}"#), &["'id' is given twice"]),
        Case::json(V2, format!(r#"{{"id":null,"id":null,"inputs":[{one}]}}"#), &["'id' is given twice"]),
        Case::json(
            V2,
            format!(r#"{{"parameters":{{}},"parameters":{{}},"inputs":[{one}]}}"#),
            &["'parameters' is given twice"],
        ),
        Case::json(
            V2,
            format!(r#"{{"parameters":{{"timeout":1,"timeout":2}},"inputs":[{one}]}}"#),
            &["'timeout' is given twice"],
        ),
        Case::json(
            V2,
            format!(r#"{{"inputs":[{one}],"outputs":[{{"name":"y","name":"y"}}]}}"#),
            &["'name' is given twice"],
        ),
        Case::json(
            V2,
            format!(
                r#"{{"inputs":[{one}],"outputs":[{{"name":"y","parameters":{{"binary_data":true,"binary_data":false}}}}]}}"#
            ),
            &["'binary_data' is given twice"],
        ),
        Case::json(V2, member(r#""name":"x""#), &["'name' is given twice"]),
        Case::json(V2, member(r#""shape":[1,1]"#), &["'shape' is given twice"]),
        Case::json(V2, member(r#""datatype":"FP32""#), &["'datatype' is given twice"]),
        Case::json(V2, member(r#""data":[2]"#), &["'data' is given twice"]),
        Case::json(V2, member(r#""parameters":{},"parameters":{}"#), &["'parameters' is given twice"]),
        Case::json(
            V2,
            member(r#""parameters":{"binary_data_size":4,"binary_data_size":4}"#),
            &["'binary_data_size' is given twice"],
        ),
        Case::json(V2, member(r#""parameters":{"binary_data_size":4}"#), &["input 'x' has both `data` and"]),
        Case::json(PREDICT, r#"{"inputs":{"x":[[1]]},"inputs":{"x":[[1]]}}"#, &["inputs"]),
        Case::json(PREDICT, r#"{"inputs":{"x":[[1]],"x":[[1]]}}"#, &["input 'x' is given twice"]),
        Case::json(
            V1,
            r#"{"instances":[[1]],"instances":[[1]]}"#,
            &["more than one of `instances` and `inputs`"],
        ),
        Case::json(
            V1,
            r#"{"instances":[[1]],"inputs":[[1]]}"#,
            &["more than one of `instances` and `inputs`"],
        ),
        Case::json(V1, r#"{"instances":[{"x":[1],"x":[1]}]}"#, &["input 'x' is given twice"]),
        Case::json(V1, r#"{"inputs":{"x":[[1]],"x":[[1]]}}"#, &["input 'x' is given twice"]),
        // Names are compared as they are read.
        Case::json(PREDICT, r#"{"inputs":{"x":[[1]],"\u0078":[[1]]}}"#, &["input 'x' is given twice"]),
    ];
    check_all(&cases, 16 << 20);
}

#[test]
fn lists_that_are_no_tensor_are_refused() {
    let ragged = ["[[1],[1,2]]", "[[1,2],[1]]", "[[],[1]]", "[[1],[]]", "[[[1]],[[1],[1]]]"];
    let mixed = ["[1,[1]]", "[[1],1]", "[[],1]", "[[[1]],[1]]"];
    let mut cases = Vec::new();
    let mut each = |data: &str, says: &str| {
        let tensor = input("x", "FP32", "[1,2]", &format!(r#""data":{data}"#));
        // Data before it is known what it is of.
        let early = format!(r#"{{"inputs":[{{"data":{data},"shape":[1,2],"name":"x","datatype":"FP32"}}]}}"#);
        for (target, body) in [
            (V2, request(&[tensor])),
            (V2, early),
            (V1, format!(r#"{{"instances":{data}}}"#)),
            (V1, format!(r#"{{"inputs":{data}}}"#)),
            (V1, format!(r#"{{"inputs":{{"x":{data}}}}}"#)),
            (PREDICT, data.to_owned()),
            (PREDICT, format!(r#"{{"inputs":{{"x":{data}}}}}"#)),
        ] {
            cases.push(Case::json(target, body, &["input 'x': ", says]));
        }
    };
    ragged.iter().for_each(|data| each(data, "ragged"));
    mixed.iter().for_each(|data| each(data, "an element stands beside a list"));
    for data in ["[[[[1]]]]", "1"] {
        cases.push(Case::json(PREDICT, data, &["input 'x'", "must be of shape [-1, -1]"]));
    }
    check_all(&cases, 16 << 20);
}
