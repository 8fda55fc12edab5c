//! `mlp`, which is large and easy to make: four layers of 1024, the same bytes as tests/data/make.py writes.

use std::{fs, path::Path};

const WIDTH: usize = 1024;
const FLOAT: u8 = 1;

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

/// The numbers are those of onnx.proto.
fn model() -> Vec<u8> {
    let mut graph = Vec::new();
    for layer in 0..4 {
        let x = if layer == 0 { "x".to_owned() } else { format!("relu{}", layer - 1) };
        let product = format!("product{layer}");
        let relu = if layer == 3 { "y".to_owned() } else { format!("relu{layer}") };
        field(&mut graph, 1, &node(&[&x, &format!("w{layer}")], &product, "MatMul"));
        field(&mut graph, 1, &node(&[&product], &relu, "Relu"));
    }
    field(&mut graph, 2, b"test");
    for layer in 0..4 {
        field(&mut graph, 5, &weights(layer));
    }
    field(&mut graph, 11, &value("x"));
    field(&mut graph, 12, &value("y"));
    let mut opset = Vec::new();
    field(&mut opset, 1, b"");
    number(&mut opset, 2, 17);
    let mut model = Vec::new();
    number(&mut model, 1, 8);
    field(&mut model, 2, b"predictd");
    field(&mut model, 7, &graph);
    field(&mut model, 8, &opset);
    model
}

fn node(inputs: &[&str], output: &str, operator: &str) -> Vec<u8> {
    let mut node = Vec::new();
    inputs.iter().for_each(|input| field(&mut node, 1, input.as_bytes()));
    field(&mut node, 2, output.as_bytes());
    field(&mut node, 4, operator.as_bytes());
    node
}

/// A row of any number of them.
fn value(name: &str) -> Vec<u8> {
    let mut batch = Vec::new();
    field(&mut batch, 2, b"batch");
    let mut width = Vec::new();
    number(&mut width, 1, WIDTH);
    let mut shape = Vec::new();
    field(&mut shape, 1, &batch);
    field(&mut shape, 1, &width);
    let mut tensor = Vec::new();
    number(&mut tensor, 1, FLOAT.into());
    field(&mut tensor, 2, &shape);
    let mut kind = Vec::new();
    field(&mut kind, 1, &tensor);
    let mut value = Vec::new();
    field(&mut value, 1, name.as_bytes());
    field(&mut value, 2, &kind);
    value
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
    let mut tensor = Vec::new();
    number(&mut tensor, 1, WIDTH);
    number(&mut tensor, 1, WIDTH);
    number(&mut tensor, 2, FLOAT.into());
    field(&mut tensor, 8, format!("w{layer}").as_bytes());
    field(&mut tensor, 9, &bytes);
    tensor
}

fn field(to: &mut Vec<u8>, number: u8, content: &[u8]) {
    to.push(number << 3 | 2);
    varint(to, content.len());
    to.extend_from_slice(content);
}

fn number(to: &mut Vec<u8>, field: u8, value: usize) {
    to.push(field << 3);
    varint(to, value);
}

fn varint(to: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        to.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
