//! What a picture's worth of numbers costs as JSON: our reader beside serde's, and beside the same request with its numbers
//! as bytes. Ratios of one run, since times are the machine's.
//!
//! ```sh
//! cargo run --release -p predictd-fuzz --example json_tensor
//! ```

use bytes::Bytes;
use predictd_protocol::inference::{nested, spec::TensorSpec, tensor::Datatype, v2};
use std::{hint::black_box, time::Instant};

/// 224 * 224 * 3, what most image models take.
const NUMBERS: usize = 150_528;
const ROUNDS: usize = 200;

fn main() {
    let (parsed, read) = as_bytes();
    println!(
        "{NUMBERS} FP32 numbers, the best of {ROUNDS} rounds. A request of them as bytes is parsed in {:.4} ms,",
        parsed * 1e3
    );
    println!("since nothing is copied; with every number read once that makes {:.3} ms.", read * 1e3);
    println!();
    println!("serde: Vec<f32> from the list alone, by serde_json with float_roundtrip, as exact as ours");
    println!("list:  the same list by our reader");
    println!("v2:    the whole request that the list is in");
    println!();
    println!(
        "{:<34} {:>6} {:>9} {:>9} {:>9} {:>11} {:>11}",
        "how a number is written", "MB", "serde ms", "list ms", "v2 ms", "serde/list", "v2/bytes"
    );
    row(read, "as an f32 prints, 0.12345679", |number| format!("{number}"));
    row(read, "as numpy lists, 0.1234567910432815", |number| format!("{}", f64::from(number)));
    row(read, "pixels scaled, 0.5019608", |number| format!("{}", (number * 255.0).round() / 255.0));
    row(read, "pixels, 128", |number| format!("{}", (number * 255.0).round()));
    row(read, "four digits and a space, 0.1235", |number| format!(" {number:.4}"));
}

/// Seconds that a request with its numbers as bytes takes, and with each of them looked at.
fn as_bytes() -> (f64, f64) {
    let bytes: Vec<u8> = numbers().flat_map(f32::to_le_bytes).collect();
    let head = format!(
        r#"{{"inputs":[{{"name":"x","shape":[{NUMBERS}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
        bytes.len()
    );
    let body = Bytes::from([head.as_bytes(), &bytes].concat());
    let parse = || v2::parse(black_box(&body), Some(head.len()), &[]).expect("it is well formed");
    (best(parse), best(|| parse().inputs[0].tensor.to_f32().expect("FP32")))
}

fn row(bytes: f64, what: &str, print: impl Fn(f32) -> String) {
    let list = format!("[{}]", numbers().map(print).collect::<Vec<_>>().join(","));
    let body = Bytes::from(format!(
        r#"{{"inputs":[{{"name":"x","shape":[{NUMBERS}],"datatype":"FP32","data":{list}}}]}}"#
    ));
    let serde =
        best(|| serde_json::from_slice::<Vec<f32>>(black_box(list.as_bytes())).expect("it is a list"));
    let spec = TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: vec![None], any_rank: false };
    let ours = best(|| nested::read(&spec, black_box(&list)).expect("it is a list"));
    let request = best(|| v2::parse(black_box(&body), None, &[]).expect("it is well formed"));
    println!(
        "{what:<34} {:>6.2} {:>9.3} {:>9.3} {:>9.3} {:>11.2} {:>11.0}",
        list.len() as f64 / 1e6,
        serde * 1e3,
        ours * 1e3,
        request * 1e3,
        serde / ours,
        request / bytes
    );
}

/// Numbers from 0 to 1 with all their digits, the same in every run.
fn numbers() -> impl Iterator<Item = f32> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0
    })
    .take(NUMBERS)
}

/// Seconds of the fastest round: what others do on the machine only ever adds.
fn best<T>(work: impl Fn() -> T) -> f64 {
    let round = |_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}
