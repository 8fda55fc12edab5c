//! Every datatype, and what JSON can say that is at its edges or beyond.

use super::{Case, check, check_all, input, lives, request};
use crate::harness::Server;
use serde_json::{Value, json};

const INTEGERS: [(&str, &str, i128, i128); 8] = [
    ("uint8", "UINT8", 0, u8::MAX as i128),
    ("uint16", "UINT16", 0, u16::MAX as i128),
    ("uint32", "UINT32", 0, u32::MAX as i128),
    ("uint64", "UINT64", 0, u64::MAX as i128),
    ("int8", "INT8", i8::MIN as i128, i8::MAX as i128),
    ("int16", "INT16", i16::MIN as i128, i16::MAX as i128),
    ("int32", "INT32", i32::MIN as i128, i32::MAX as i128),
    ("int64", "INT64", i64::MIN as i128, i64::MAX as i128),
];

/// And the first number that is rounded to infinity.
const FLOATS: [(&str, &str, f64); 4] = [
    ("float16", "FP16", 65520.0),
    ("bfloat16", "BF16", 3.396e38),
    ("float", "FP32", 3.402_823_567e38),
    ("double", "FP64", f64::INFINITY),
];

/// A route that takes a model's only input as JSON.
struct Surface {
    target: String,
    body: String,
    /// Where the answer has it.
    place: &'static str,
    /// Whether it has words for what is no number.
    has_words: bool,
    /// Whether it has objects that are strings.
    has_objects: bool,
}

fn surfaces(model: &str, datatype: &str, element: &str) -> Vec<Surface> {
    let surface = |route: &str, body, place| Surface {
        target: route.replace("{}", &format!("identity_{model}")),
        body,
        place,
        has_words: !route.starts_with("/predict"),
        has_objects: !route.starts_with("/v2"),
    };
    let tensor = input("x", datatype, "[1,1]", &format!(r#""data":[{element}]"#));
    let (v1, predict) = ("/v1/models/{}:predict", "/predict/{}");
    vec![
        surface("/v2/models/{}/infer", request(&[tensor]), "/outputs/0/data/0"),
        surface(v1, format!(r#"{{"instances":[[{element}]]}}"#), "/predictions/0/0"),
        surface(v1, format!(r#"{{"instances":[{{"x":[{element}]}}]}}"#), "/predictions/0/0"),
        surface(v1, format!(r#"{{"inputs":[[{element}]]}}"#), "/outputs/0/0"),
        surface(v1, format!(r#"{{"inputs":{{"x":[[{element}]]}}}}"#), "/outputs/0/0"),
        surface(predict, format!(r#"{{"inputs":{{"x":[[{element}]]}}}}"#), "/results/0/outputs/y/0"),
        surface(predict, format!("[[{element}]]"), "/results/0/outputs/y/0"),
    ]
}

/// Every element on every route: `value` is what must come back, none that it is refused.
fn check_elements<'a>(
    model: &str,
    datatype: &str,
    elements: impl IntoIterator<Item = (&'a str, Option<Value>)>,
    server: &Server,
) {
    for (element, value) in elements {
        for Surface { target, body, place, has_objects, .. } in surfaces(model, datatype, element) {
            let Some(value) = &value else {
                let says = ["input 'x': ", &format!("is not a value of {datatype}"), "at line 1 column"];
                // An object may be a string there.
                let says = if has_objects && element.starts_with('{') { &says[..1] } else { &says };
                check(server, &[Case::json(target, &body, says)]);
                continue;
            };
            let answer =
                server.ask("POST", &target, &[("Content-Type", "application/json")], body.as_bytes());
            assert_eq!(answer.ok().pointer(place), Some(value), "{target} {body}");
        }
    }
}

#[test]
fn an_integer_fits_its_datatype_or_is_refused() {
    let server = Server::start();
    let long = "9".repeat(400);
    let literals = [
        "0",
        "-0",
        "1",
        "-1",
        "127",
        "128",
        "-128",
        "-129",
        "255",
        "256",
        "32767",
        "32768",
        "-32768",
        "-32769",
        "65535",
        "65536",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        &long,
        "1.0",
        "0.5",
        "1e2",
        "1e308",
        "1e999",
        "-1e999",
        "1e-999",
        "true",
        "null",
        "\"1\"",
        "{}",
        "\"\\ud83d\\ude00\"",
    ];
    for (model, datatype, least, most) in INTEGERS {
        let elements = literals.map(|literal| {
            let number = literal.parse::<i128>().ok().filter(|number| (least..=most).contains(number));
            (literal, number.map(|number| serde_json::from_str(&number.to_string()).unwrap()))
        });
        check_elements(model, datatype, elements, &server);
    }
    lives(&server);
}

#[test]
fn a_floating_point_number_is_finite_or_is_refused() {
    let server = Server::start();
    let long = format!("0.{}1", "0".repeat(400));
    let literals = [
        "0",
        "-0",
        "-0.0",
        "0.5",
        "-1",
        "65504",
        "65519",
        "65520",
        "-65520",
        "3.395e38",
        "3.397e38",
        "3.4028234e38",
        "3.4028236e38",
        "1e308",
        "-1e308",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "1e309",
        "1e999",
        "-1e999",
        "1e99999999999999999999",
        "1e-999",
        "1e-99999999999999999999",
        "5e-324",
        &long,
    ];
    for (model, datatype, over) in FLOATS {
        let elements = literals.map(|literal| {
            let number: f64 = literal.parse().unwrap();
            // What is far too small is zero; the rest is not so small that it would be rounded to anything else.
            let fits = number.is_finite() && number.abs() < over;
            (literal, fits)
        });
        for (literal, fits) in elements {
            if !fits {
                check_elements(model, datatype, [(literal, None)], &server);
                continue;
            }
            for Surface { target, body, place, .. } in surfaces(model, datatype, literal) {
                let answer = server
                    .ask("POST", &target, &[("Content-Type", "application/json")], body.as_bytes())
                    .ok();
                let (got, number) =
                    (answer.pointer(place).unwrap().as_f64().unwrap(), literal.parse::<f64>().unwrap());
                assert!(
                    (got - number).abs() <= number.abs() / 128.0 || number.abs() < 1e-300,
                    "{target} {body} {got}"
                );
                assert_eq!(got.is_sign_negative(), number.is_sign_negative(), "{target} {body} {got}");
            }
        }
        let others = ["true", "false", "null", "\"1\"", "\"NaN\"", "{}"];
        check_elements(model, datatype, others.map(|other| (other, None)), &server);
        let not_json = ["nan", "+1", "01", ".5", "1.", "0x10", "1_000", "1e", "--1", "inf"];
        let words = ["NaN", "Infinity", "-Infinity"];
        for word in not_json.iter().chain(&words) {
            for Surface { target, body, has_words, .. } in surfaces(model, datatype, word) {
                if !(has_words && words.contains(word)) {
                    check(&server, &[Case::json(target, body, &["at line 1 column"])]);
                }
            }
        }
    }
    lives(&server);
}

#[test]
fn truth_and_text_are_no_numbers_and_numbers_neither() {
    let server = Server::start();
    let truth = [("true", Some(json!(true))), ("false", Some(json!(false)))];
    let not_truth = ["0", "1", "-0", "1.0", "1e999", "null", "\"true\"", "{}"].map(|other| (other, None));
    check_elements("bool", "BOOL", truth.into_iter().chain(not_truth), &server);
    let text = [("\"1\"", json!("1")), ("\"\"", json!("")), ("\"\\u00e9\\ud83d\\ude00\"", json!("é😀"))];
    let not_text = ["0", "1e999", "true", "null", "{}"].map(|other| (other, None));
    check_elements(
        "string",
        "BYTES",
        text.into_iter().map(|(text, value)| (text, Some(value))).chain(not_text),
        &server,
    );
    lives(&server);
}

#[test]
fn a_number_for_a_number_of_things_is_whole_and_in_range() {
    let infer = "/v2/models/identity_float/infer";
    let one = input("x", "FP32", "[1,1]", r#""data":[1]"#);
    let mut cases = Vec::new();
    for number in ["-1", "-0", "1.5", "1e3", "18446744073709551616", "\"1\"", "null", "true", "[]", "{}"] {
        let dims = input("x", "FP32", &format!("[1,{number}]"), r#""data":[1]"#);
        cases.push(Case::json(infer, request(&[dims]), &["dimension", "whole number"]));
        let size = input("x", "FP32", "[1,1]", &format!(r#""parameters":{{"binary_data_size":{number}}}"#));
        cases.push(Case::json(infer, request(&[size]), &["binary_data_size must be a whole number"]));
        let timeout = format!(r#"{{"parameters":{{"timeout":{number}}},"inputs":[{one}]}}"#);
        cases.push(Case::json(infer, timeout, &["timeout, in microseconds, must be a whole number"]));
        let classes = format!(
            r#"{{"inputs":[{one}],"outputs":[{{"name":"y","parameters":{{"classification":{number}}}}}]}}"#
        );
        cases.push(Case::json(infer, classes, &["classification must be a"]));
    }
    for number in ["0", "1", "\"true\"", "null", "[]"] {
        let binary = format!(r#"{{"inputs":[{one}],"parameters":{{"binary_data_output":{number}}}}}"#);
        cases.push(Case::json(infer, binary, &["binary_data_output must be true or false"]));
        let binary = format!(
            r#"{{"inputs":[{one}],"outputs":[{{"name":"y","parameters":{{"binary_data":{number}}}}}]}}"#
        );
        cases.push(Case::json(infer, binary, &["binary_data must be true or false"]));
    }
    check_all(&cases, 16 << 20);
}
