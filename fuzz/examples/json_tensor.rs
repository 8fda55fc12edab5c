//! How fast a picture's worth of numbers is read as JSON: our reader beside serde's, and beside the binary form.
//!
//! ```sh
//! cargo run --release -p predictd-fuzz --example json_tensor
//! ```

use bytes::Bytes;
use predictd_protocol::inference::{nested, spec::TensorSpec, tensor::Datatype, v2};
use std::{hint::black_box, time::Instant};

/// 224 * 224 * 3, what most image models take.
const NUMBERS: usize = 150_528;
const ROUNDS: usize = 60;

fn main() {
    println!(
        "{NUMBERS} FP32 numbers, the best of {ROUNDS} rounds; ratio is serde's time to ours, over 1 is faster"
    );
    println!(
        "{:<34} {:>7} {:>9} {:>9} {:>6} {:>10} {:>6}",
        "how a number is written", "MB", "serde ms", "ours ms", "ratio", "request ms", "ratio"
    );
    row("as an f32 prints, 0.12345679", |number| format!("{number}"));
    row("as numpy lists, 0.1234567910432815", |number| format!("{}", f64::from(number)));
    row("pixels scaled, 0.5019608", |number| format!("{}", (number * 255.0).round() / 255.0));
    row("pixels, 128", |number| format!("{}", (number * 255.0).round()));
    row("four digits and a space, 0.1235", |number| format!(" {number:.4}"));
    let numbers: Vec<f32> = numbers().collect();
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let head = format!(
        r#"{{"inputs":[{{"name":"x","shape":[{NUMBERS}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
        bytes.len()
    );
    let body = Bytes::from([head.as_bytes(), &bytes].concat());
    let binary = best(|| v2::parse(black_box(&body), Some(head.len()), &[]).expect("it is well formed"));
    println!("the binary form of the same request: {:.4} ms", binary * 1e3);
}

fn row(what: &str, print: impl Fn(f32) -> String) {
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
        "{what:<34} {:>7.2} {:>9.3} {:>9.3} {:>6.2} {:>10.3} {:>6.2}",
        list.len() as f64 / 1e6,
        serde * 1e3,
        ours * 1e3,
        serde / ours,
        request * 1e3,
        serde / request
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
