//! Why a recipe does not fit the model that it was written for.

use predictd_protocol::inference::{
    spec::{Dims, TensorSpec},
    tensor::Datatype,
};

/// A recipe and its model disagree; the text says what to change in `model.toml`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// The recipe names a tensor that the model has not.
    #[error("tensor = \"{name}\": the model has no such {side}, it has {known}")]
    UnknownTensor {
        /// The name.
        name: String,
        /// Input or output.
        side: &'static str,
        /// What there is.
        known: String,
    },
    /// There is not exactly one that could be meant.
    #[error("set `tensor`: the model has {known}, and it is not clear which {side} is meant")]
    WhichTensor {
        /// Input or output.
        side: &'static str,
        /// What there is.
        known: String,
    },
    /// The tensor holds something else.
    #[error("tensor `{tensor}` is {datatype}, but {purpose} needs {wanted}")]
    Datatype {
        /// Its name.
        tensor: String,
        /// What it holds.
        datatype: Datatype,
        /// For what.
        purpose: &'static str,
        /// What would do.
        wanted: &'static str,
    },
    /// A picture does not have that many dimensions.
    #[error(
        "tensor `{tensor}` has shape {shape}, but a picture has 4 dimensions (batch, channels, height, width) or 3"
    )]
    Rank {
        /// Its name.
        tensor: String,
        /// Its dimensions.
        shape: Dims,
    },
    /// The shape does not tell.
    #[error(
        "set `layout`: the shape {shape} of tensor `{tensor}` does not tell whether the channels come first (\"NCHW\") or last (\"NHWC\")"
    )]
    WhichLayout {
        /// Its name.
        tensor: String,
        /// Its dimensions.
        shape: Dims,
    },
    /// The tensor's channels are not the color's.
    #[error(
        "tensor `{tensor}` with shape {shape} has {channels} channels, but color = \"{color}\" has {expected}"
    )]
    Channels {
        /// Its name.
        tensor: String,
        /// Its dimensions.
        shape: Dims,
        /// How many.
        channels: usize,
        /// The color.
        color: &'static str,
        /// How many it has.
        expected: usize,
    },
    /// The tensor takes any size, or the recipe gives none.
    #[error("set `size`: the shape {shape} of tensor `{tensor}` leaves height or width open")]
    SizeMissing {
        /// Its name.
        tensor: String,
        /// Its dimensions.
        shape: Dims,
    },
    /// The tensor's size is another.
    #[error("size = {size:?}, but tensor `{tensor}` has shape {shape}")]
    SizeDiffers {
        /// Height and width.
        size: [usize; 2],
        /// Its name.
        tensor: String,
        /// Its dimensions.
        shape: Dims,
    },
    /// No picture of that size can be made.
    #[error("size = {0:?}: height and width are 1 to {max}", max = crate::recipe::layout::MAX_SIDE)]
    SizeRange([usize; 2]),
    /// A key has no effect, or a value that makes no sense.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The output is not one score per class.
    #[error("tensor `{tensor}` has shape {shape}, but a classification needs one score per class and row")]
    NotScores {
        /// Its name.
        tensor: String,
        /// Its dimensions.
        shape: Dims,
    },
    /// There are more or fewer names than classes.
    #[error("there are {labels} labels, but tensor `{tensor}` with shape {shape} has {classes} classes")]
    LabelCount {
        /// How many names.
        labels: usize,
        /// Its name.
        tensor: String,
        /// Its dimensions.
        shape: Dims,
        /// How many classes.
        classes: usize,
    },
}

/// The tensor of that name, or the only one that `fits`.
pub(super) fn choose<'a>(
    specs: &'a [TensorSpec],
    name: Option<&str>,
    side: &'static str,
    fits: impl Fn(&TensorSpec) -> bool,
) -> Result<&'a TensorSpec, LoadError> {
    let known = || {
        let names: Vec<_> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
        if names.is_empty() { format!("no {side}s") } else { names.join(", ") }
    };
    if let Some(name) = name {
        let found = specs.iter().find(|spec| spec.name == name);
        return found.ok_or_else(|| LoadError::UnknownTensor { name: name.into(), side, known: known() });
    }
    let mut fitting = specs.iter().filter(|spec| fits(spec));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(LoadError::WhichTensor { side, known: known() }),
    }
}
