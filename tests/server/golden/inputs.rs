//! The inputs of a golden case: literal, of a hash, or of a file that is prepared as the case says.

use crate::{harness::read, infer::Tensor};
use serde_json::{Value, json};

/// Those of `case`; `None` where it is a picture that only a model's own recipe prepares.
pub(super) fn of(case: &Value) -> Option<Vec<Tensor>> {
    let inputs = case["inputs"].as_object().unwrap().iter();
    inputs
        .map(|(name, input)| {
            let shape: Vec<usize> = serde_json::from_value(input["shape"].clone()).unwrap();
            let datatype = datatype(input["dtype"].as_str().unwrap());
            let data = if input["data"].is_array() {
                input["data"].clone()
            } else if input["hash"].is_object() {
                hashed(&input["hash"], shape.iter().product(), datatype)
            } else {
                prepared(input["file"].as_str().unwrap(), input["prepare"].as_str().unwrap())?
            };
            let tensor = Tensor::new(name, datatype, &shape, data);
            assert_eq!(tensor.data.len(), shape.iter().product::<usize>(), "{name}");
            Some(tensor)
        })
        .collect()
}

/// numpy's name to the protocol's.
pub(super) fn datatype(dtype: &str) -> &'static str {
    match dtype {
        "uint8" => "UINT8",
        "int32" => "INT32",
        "int64" => "INT64",
        "float32" => "FP32",
        "string" => "BYTES",
        other => panic!("{other} is in no golden file yet"),
    }
}

fn hashed(hash: &Value, count: usize, datatype: &str) -> Value {
    let seed = u32::try_from(hash["seed"].as_u64().unwrap()).unwrap();
    let (low, high) = (hash["low"].as_f64().unwrap(), hash["high"].as_f64().unwrap());
    let element = |at: usize| -> Value {
        let mut mixed = (at as u32).wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503));
        mixed ^= mixed >> 15;
        let value = low + (high - low) * f64::from(mixed >> 8) / f64::from(1 << 24);
        if datatype == "FP32" { (value as f32).into() } else { (value as u64).into() }
    };
    (0..count).map(element).collect()
}

fn prepared(file: &str, how: &str) -> Option<Value> {
    let picture = || image::load_from_memory(&read(file)).unwrap();
    let rgb = || picture().to_rgb8();
    // All of one channel, then all of the next.
    let planes = |channels: [usize; 3], scale: fn(u8) -> f32| -> Value {
        let picture = rgb();
        channels.iter().flat_map(|channel| picture.pixels().map(|pixel| scale(pixel.0[*channel]))).collect()
    };
    Some(match how {
        "grey / 255" => {
            picture().to_luma8().into_raw().into_iter().map(|pixel| f32::from(pixel) / 255.0).collect()
        }
        "RGB, NHWC" => rgb().into_raw().into(),
        "(RGB - 127) / 128, NCHW" => planes([0, 1, 2], |pixel| (f32::from(pixel) - 127.0) / 128.0),
        "(BGR / 255 - 0.5) / 0.5, NCHW" => planes([2, 1, 0], |pixel| (f32::from(pixel) / 255.0 - 0.5) / 0.5),
        "magika" => magika(&read(file)),
        how if how.starts_with("short side") => return None,
        how => {
            let (zeros, range) =
                how.strip_suffix(" / 32768").unwrap().split_once(" zeros, then samples ").unwrap();
            let (begin, end) = range.split_once("..").unwrap();
            let mut chunk = vec![0.0f32; zeros.parse().unwrap()];
            chunk.extend(&samples(file)[begin.parse().unwrap()..end.parse().unwrap()]);
            json!(chunk)
        }
    })
}

/// The file's beginning without white space before it, and its end without white space behind it.
fn magika(file: &[u8]) -> Value {
    const PADDING: u16 = 256;
    let head = file[..file.len().min(4096)].trim_ascii_start();
    let tail = file[file.len().saturating_sub(4096)..].trim_ascii_end();
    let (head, tail) = (&head[..head.len().min(1024)], &tail[tail.len().saturating_sub(1024)..]);
    let padding = |length: usize| std::iter::repeat_n(PADDING, 1024 - length);
    let of = |bytes: &[u8]| bytes.iter().copied().map(u16::from).collect::<Vec<_>>();
    of(head).into_iter().chain(padding(head.len())).chain(padding(tail.len())).chain(of(tail)).collect()
}

/// The samples of a WAV file of one channel and 16 bits, between -1 and 1.
pub(super) fn samples(file: &str) -> Vec<f32> {
    let bytes = read(file);
    let (header, samples) = bytes.split_at(44);
    assert!(header.starts_with(b"RIFF") && header[36..].starts_with(b"data"), "{file}");
    samples.chunks_exact(2).map(|two| f32::from(i16::from_le_bytes([two[0], two[1]])) / 32768.0).collect()
}
