//! `mlp`, which is large and easy to make: four layers of 1024, the same bytes as tests/data/make.py writes.

use crate::tiny::{FLOAT, field, graph, node, number, rows};
use std::{fs, path::Path};

const WIDTH: u64 = 1024;

/// Writes `model.onnx` into `folder`, unless it is there.
pub(super) fn write(folder: &Path) {
    let path = folder.join("model.onnx");
    if !path.is_file() {
        fs::create_dir_all(folder).unwrap();
        let part = folder.join("part");
        fs::write(&part, model()).unwrap();
        fs::rename(part, path).unwrap();
    }
}

fn model() -> Vec<u8> {
    let layer = |layer: u32| {
        let x = if layer == 0 { "x".to_owned() } else { format!("relu{}", layer - 1) };
        let (weights, product) = (format!("w{layer}"), format!("product{layer}"));
        let relu = if layer == 3 { "y".to_owned() } else { format!("relu{layer}") };
        [node("MatMul", &[&x, &weights], &product, &[]), node("Relu", &[&product], &relu, &[])]
    };
    let nodes: Vec<_> = (0..4).flat_map(layer).collect();
    let weights: Vec<_> = (0..4).map(weights).collect();
    let graph = graph("test", &nodes, &weights, &[rows("x", WIDTH)], &[rows("y", WIDTH)]);
    let opset = [field(1, b""), number(2, 17)].concat();
    [number(1, 8), field(2, b"predictd"), field(7, &graph), field(8, &opset)].concat()
}

/// Numbers that look random: the integer hash lowbias32 of their places.
fn weights(layer: u32) -> Vec<u8> {
    let count = (WIDTH * WIDTH) as u32;
    let amplitude = (6.0 / WIDTH as f64).sqrt();
    let element = |at: u32| {
        let mut mixed = (at ^ (at >> 16)).wrapping_mul(0x7feb_352d);
        mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x846c_a68b);
        mixed ^= mixed >> 16;
        (amplitude * (f64::from(mixed >> 8) / f64::from(1 << 23) - 1.0)) as f32
    };
    let bytes: Vec<u8> =
        (layer * count..(layer + 1) * count).flat_map(|at| element(at).to_le_bytes()).collect();
    let dims = [number(1, WIDTH), number(1, WIDTH), number(2, FLOAT)].concat();
    [dims, field(8, format!("w{layer}").as_bytes()), field(9, &bytes)].concat()
}
