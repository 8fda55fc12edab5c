//! Models of dense layers, made here: at one row they are bound by reading their weights, so that rows together are cheap.
//!
//! ONNX is protobuf, and a model of one kind of layer needs little of that; the fields are those of ONNX's `onnx.proto`.

use fastrand::Rng;
use predictd::{
    Tensor,
    config::model::GraphOptimization,
    model::{
        engine::Engine,
        library,
        onnx::{Onnx, Options, Runtime},
    },
};
use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// `layers` times `width` numbers to `width` numbers, with Relu.
#[derive(Clone, Copy)]
pub(crate) struct Dense {
    pub(crate) width: usize,
    pub(crate) layers: usize,
}

/// 16.8 MB.
pub(crate) const SMALL: Dense = Dense { width: 1024, layers: 4 };

/// 100.7 MB.
pub(crate) const LARGE: Dense = Dense { width: 2048, layers: 6 };

impl Dense {
    /// What its weights take.
    pub(crate) fn bytes(self) -> usize {
        self.layers * (self.width + 1) * self.width * size_of::<f32>()
    }

    /// An input of so many rows.
    pub(crate) fn input(self, rows: usize) -> Result<Vec<Tensor>, Box<dyn Error>> {
        let mut random = Rng::with_seed(7);
        let numbers: Vec<f32> = (0..rows * self.width).map(|_| random.f32() - 0.5).collect();
        Ok(vec![Tensor::from_numbers(vec![rows, self.width], numbers)?])
    }

    /// Loads it, for runs of up to `usual_rows` rows.
    pub(crate) fn load(self, usual_rows: usize) -> Result<Arc<dyn Engine>, Box<dyn Error>> {
        load(&self.make()?, usual_rows)
    }

    /// Where it is, made the first time.
    pub(crate) fn make(self) -> io::Result<PathBuf> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("dense-{}x{}.onnx", self.width, self.layers));
        if !path.exists() {
            // Under another name first, so that what has this name is whole.
            let unfinished = path.with_extension(format!("{}", std::process::id()));
            fs::create_dir_all(folder)?;
            fs::write(&unfinished, self.model())?;
            fs::rename(unfinished, &path)?;
        }
        Ok(path)
    }

    fn model(self) -> Vec<u8> {
        let mut random = Rng::with_seed(5);
        // Numbers stay of one size from layer to layer: neither denormal, which is slow, nor infinite.
        let scale = (6.0 / self.width as f32).sqrt();
        let mut graph = Vec::new();
        let mut from = "x".to_owned();
        for layer in 0..self.layers {
            let [weights, bias, sum] = ["w", "b", "z"].map(|name| format!("{name}{layer}"));
            let to = if layer + 1 == self.layers { "y".to_owned() } else { format!("h{layer}") };
            put(&mut graph, GRAPH_NODE, &node("Gemm", &[&from, &weights, &bias], &sum));
            put(&mut graph, GRAPH_NODE, &node("Relu", &[&sum], &to));
            let numbers: Vec<f32> =
                (0..self.width * self.width).map(|_| (random.f32() * 2.0 - 1.0) * scale).collect();
            put(&mut graph, GRAPH_INITIALIZER, &tensor(&weights, &[self.width, self.width], &numbers));
            put(&mut graph, GRAPH_INITIALIZER, &tensor(&bias, &[self.width], &vec![0.0; self.width]));
            from = to;
        }
        put(&mut graph, 2, b"dense");
        put(&mut graph, 11, &rows_of(self.width, "x"));
        put(&mut graph, 12, &rows_of(self.width, "y"));

        let mut opset = Vec::new();
        put(&mut opset, 1, b"");
        put_number(&mut opset, 2, 17);
        let mut model = Vec::new();
        put_number(&mut model, 1, 8); // ir_version
        put(&mut model, 7, &graph);
        put(&mut model, 8, &opset);
        model
    }
}

/// Loads the model of a file, as a server does by default.
pub(crate) fn load(path: &Path, usual_rows: usize) -> Result<Arc<dyn Engine>, Box<dyn Error>> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if RUNTIME.get().is_none() {
        let _ = RUNTIME.set(Runtime::start(&library::find(None)?)?);
    }
    let runtime = RUNTIME.get().ok_or("there is no ONNX Runtime")?;
    let options = Options {
        threads: 1,
        optimization: GraphOptimization::All,
        memory_arena: true,
        usual_rows,
        copies: 1,
    };
    Ok(Arc::new(Onnx::load(runtime, path, &options)?))
}

const GRAPH_NODE: u64 = 1;
const GRAPH_INITIALIZER: u64 = 5;

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let mut node = Vec::new();
    inputs.iter().for_each(|input| put(&mut node, 1, input.as_bytes()));
    put(&mut node, 2, output.as_bytes());
    put(&mut node, 4, operator.as_bytes());
    node
}

/// The datatype that ONNX calls FLOAT.
const FLOAT: usize = 1;

fn tensor(name: &str, shape: &[usize], numbers: &[f32]) -> Vec<u8> {
    let mut tensor = Vec::new();
    shape.iter().for_each(|dim| put_number(&mut tensor, 1, *dim));
    put_number(&mut tensor, 2, FLOAT);
    put(&mut tensor, 8, name.as_bytes());
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    put(&mut tensor, 9, &bytes);
    tensor
}

/// An input or output of any number of rows.
fn rows_of(width: usize, name: &str) -> Vec<u8> {
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    put(&mut rows, 2, b"batch");
    put_number(&mut columns, 1, width);
    let mut shape = Vec::new();
    put(&mut shape, 1, &rows);
    put(&mut shape, 1, &columns);
    let mut tensor = Vec::new();
    put_number(&mut tensor, 1, FLOAT);
    put(&mut tensor, 2, &shape);
    let mut kind = Vec::new();
    put(&mut kind, 1, &tensor);
    let mut value = Vec::new();
    put(&mut value, 1, name.as_bytes());
    put(&mut value, 2, &kind);
    value
}

/// A field that has a length: text, bytes or a message.
fn put(message: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(message, field << 3 | 2);
    varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn put_number(message: &mut Vec<u8>, field: u64, number: usize) {
    varint(message, field << 3);
    varint(message, number as u64);
}

fn varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}
