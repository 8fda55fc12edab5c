//! What a `model.toml` means: how one model is served. Every key is in `example.model.toml`.
//!
//! Nothing here knows the model: whether a recipe fits its tensors is seen when both are loaded.

mod reading;

pub use reading::{Defaults, Error};
pub(super) use reading::{TABLE, check_defaults, schema};

use crate::config::units::Duration;
use std::{num::NonZeroUsize, path::PathBuf};

/// A `model.toml`. Every key may be left out; `[defaults]` of the server's own file has the same keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What runs it. Default `"onnx"`.
    pub kind: Kind,
    /// From the last byte of a request to its outputs. Default `"30s"`.
    pub deadline: Duration,
    /// Which versions are served: `"latest"`, `"all"` or a list such as `[1, 3]`. Default `"latest"`.
    pub versions: Versions,
    /// How requests share a run.
    pub batch: Batch,
    /// What is run before the model is served.
    pub warmup: Warmup,
    /// How ONNX Runtime is set up.
    pub session: Session,
    /// How a picture becomes a tensor; none: pictures are not taken.
    pub input: Option<ImageInput>,
    /// How a tensor becomes classes; none: tensors are answered as they are.
    pub output: Option<ClassificationOutput>,
    /// What a model of kind `"fake"` does.
    pub fake: Fake,
}

/// What runs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// ONNX Runtime.
    #[default]
    Onnx,
    /// Nothing at all: a stand-in that misbehaves on demand, only with `serve --allow-fake`.
    Fake,
}

/// Which versions of a model are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// The highest number.
    #[default]
    Latest,
    /// All there are.
    All,
    /// These.
    These(Vec<u64>),
}

/// `[batch]`: how requests share a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Rows in one run, at most. Default 8.
    pub max_rows: NonZeroUsize,
    /// How long an idle worker waits for more rows. Default `"0ms"`.
    pub max_delay: Duration,
    /// Rows that may wait; more are refused at once. Default 256.
    pub queue: NonZeroUsize,
}

/// `[warmup]`: what is run before the model is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// A run of each of these numbers of rows; `[]` for none. Default `[1, "max_rows"]`.
    pub rows: Vec<WarmupRows>,
}

/// The size of one run of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmupRows {
    /// As many as `batch.max_rows`.
    MaxRows,
    /// This many.
    Rows(NonZeroUsize),
}

/// `[session]`: how ONNX Runtime is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Threads of one run. Default: `workers.threads` of the server.
    pub threads: Option<NonZeroUsize>,
    /// Copies of the model where workers cannot share one (providers other than the CPU's). Default 1.
    pub copies: NonZeroUsize,
    /// Keeps memory between runs: faster with large batches, and never given back. Default true.
    pub memory_arena: bool,
    /// What ONNX Runtime may do to the graph. Default `"all"`.
    pub graph_optimization: GraphOptimization,
}

/// How far ONNX Runtime optimises a graph, by its own names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GraphOptimization {
    /// Not at all.
    Off,
    /// What keeps the meaning of every node: folded constants, nodes left out.
    Basic,
    /// And fused nodes.
    Extended,
    /// And changed layouts of tensors.
    #[default]
    All,
}

/// `[input]` of kind `"image"`: how a picture becomes a tensor, value = (pixel * `scale` - `mean`) / `std`.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInput {
    /// Always `"image"`.
    pub kind: InputKind,
    /// The input that takes it. Default: the only one.
    pub tensor: Option<String>,
    /// Height and width in pixels. Default: what the tensor's shape says.
    pub size: Option<[usize; 2]>,
    /// What happens to a picture of another aspect ratio. Default `"crop"`.
    pub fit: Fit,
    /// For `crop`: the pixels that the picture's short side gets before the middle is cut out. Default: as few as cover `size`.
    pub short_side: Option<usize>,
    /// How pixels are interpolated. Default `"bicubic"`.
    pub filter: Filter,
    /// What the channels are. Default: `"grey"` for one channel, else `"rgb"`.
    pub color: Option<Color>,
    /// The order of the tensor's dimensions. Default: by the dimension that is 1 or 3.
    pub layout: Option<Layout>,
    /// Multiplies a pixel, which is 0 to 255. Default 1/255.
    pub scale: Option<f64>,
    /// Is subtracted then: a number, or one per channel in the tensor's order. Default 0.
    pub mean: Option<PerChannel>,
    /// Divides then: a number, or one per channel in the tensor's order. Default 1.
    pub std: Option<PerChannel>,
}

/// What an input takes besides tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// JPEG, PNG, WebP, GIF and BMP.
    Image,
}

/// What happens to a picture of another aspect ratio than the tensor's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// The middle is cut out.
    #[default]
    Crop,
    /// It is distorted.
    Stretch,
    /// Black is added on two sides.
    Pad,
}

/// How pixels are interpolated; all but `nearest` take every pixel into account when a picture gets smaller, as Pillow's do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Cubic with a = -0.5.
    #[default]
    Bicubic,
    /// Linear.
    Bilinear,
    /// Lanczos with three lobes.
    Lanczos,
    /// One pixel for one.
    Nearest,
}

/// What the channels of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as OpenCV has it.
    Bgr,
    /// Lightness.
    Grey,
}

/// The order of the dimensions: batch, channels, height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Channels first, as PyTorch has it.
    Nchw,
    /// Channels last, as TensorFlow has it.
    Nhwc,
}

/// One number for all channels, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub enum PerChannel {
    /// The same for all.
    All(f64),
    /// In the order of the tensor's channels.
    Each(Vec<f64>),
}

/// `[output]` of kind `"classification"`: how a tensor becomes the most probable classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassificationOutput {
    /// Always `"classification"`.
    pub kind: OutputKind,
    /// The output that has a score per class. Default: the only one of floating-point numbers.
    pub tensor: Option<String>,
    /// The names of the classes, relative to the model's folder: a line each, or JSON. Default: `labels.txt` if there, else a
    /// class is called by its index.
    pub labels: Option<PathBuf>,
    /// How many classes are answered. Default 5.
    pub top_k: NonZeroUsize,
    /// Turns scores into probabilities. Default: only where they are not probabilities already.
    pub softmax: Option<bool>,
}

/// What an output is answered as, besides tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// The most probable classes.
    Classification,
}

/// `[fake]`: what a fake model does when it is loaded, then in each run, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fake {
    /// Takes so long to be loaded. Default `"0ms"`.
    pub load: Duration,
    /// Waits so long. Default `"0ms"`.
    pub sleep: Duration,
    /// Keeps its core busy so long. Default `"0ms"`.
    pub spin: Duration,
    /// Loads, sleeps and spins on after it was terminated. Default false.
    pub ignore_terminate: bool,
    /// Panics. Default false.
    pub panic: bool,
    /// Answers its input; else zeros. Default true.
    pub echo: bool,
}

impl Warmup {
    /// The numbers of rows to run, rising, each once, none over `max_rows`.
    #[must_use]
    pub fn runs(&self, max_rows: NonZeroUsize) -> Vec<usize> {
        let rows = self.rows.iter().map(|rows| match rows {
            WarmupRows::MaxRows => max_rows.get(),
            WarmupRows::Rows(rows) => rows.get().min(max_rows.get()),
        });
        rows.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            load: Duration::default(),
            sleep: Duration::default(),
            spin: Duration::default(),
            ignore_terminate: false,
            panic: false,
            echo: true,
        }
    }
}

impl Default for Model {
    /// What a model without a `model.toml` has.
    fn default() -> Self {
        Self::parse("", "model.toml", &Defaults::default()).expect("defaults are right")
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
