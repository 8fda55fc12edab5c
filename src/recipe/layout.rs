//! What an image tensor looks like: the order of its dimensions, its channels and its size, from its shape and the recipe.
//!
//! Guesses only where one reading makes sense; else the error names the key that settles it.

use crate::{
    config::model::{Color, ImageInput, Layout},
    recipe::LoadError,
};
use predictd_protocol::inference::spec::TensorSpec;

/// The longest side of a tensor, in pixels; more is a slip of the keyboard.
pub(super) const MAX_SIDE: usize = 16_384;

/// An image tensor of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) layout: Layout,
    pub(super) color: Color,
    pub(super) width: usize,
    pub(super) height: usize,
    /// The whole shape, with a batch of 1 if the model has that dimension.
    pub(super) shape: Vec<usize>,
}

/// The dimensions of a tensor as far as its model fixes them.
struct Axes {
    layout: Layout,
    channels: Option<usize>,
    height: Option<usize>,
    width: Option<usize>,
}

impl Image {
    pub(super) fn new(input: &ImageInput, spec: &TensorSpec) -> Result<Self, LoadError> {
        let axes = Axes::new(input, spec)?;
        let color = color(input.color, axes.channels, spec)?;
        let [height, width] = size(input.size, &axes, spec)?;
        let channels = channels(color);
        let picture = match axes.layout {
            Layout::Nchw => [channels, height, width],
            Layout::Nhwc => [height, width, channels],
        };
        let shape = match spec.shape[..] {
            [_, _, _, _] => [&[1][..], &picture].concat(),
            // A batch of grey pictures that have no dimension for channels: the 1 is that of the batch.
            _ => picture.to_vec(),
        };
        Ok(Self { layout: axes.layout, color, width, height, shape })
    }
}

/// How many channels a color has.
pub(super) fn channels(color: Color) -> usize {
    match color {
        Color::Rgb | Color::Bgr => 3,
        Color::Grey => 1,
    }
}

impl Axes {
    fn new(input: &ImageInput, spec: &TensorSpec) -> Result<Self, LoadError> {
        let (a, b, c) = match spec.shape[..] {
            [_, a, b, c] | [a, b, c] => (a, b, c),
            _ => return Err(LoadError::Rank { tensor: spec.name.clone(), shape: spec.dims() }),
        };
        let channels_first = Self { layout: Layout::Nchw, channels: a, height: b, width: c };
        let channels_last = Self { layout: Layout::Nhwc, height: a, width: b, channels: c };
        let has_channels = |dim| matches!(dim, Some(1 | 3));
        match input.layout {
            Some(Layout::Nchw) => return Ok(channels_first),
            Some(Layout::Nhwc) => return Ok(channels_last),
            None => {}
        }
        match (has_channels(a), has_channels(c)) {
            (true, false) => Ok(channels_first),
            (false, true) => Ok(channels_last),
            // [batch, height, width]: a row looks like one channel before the others.
            (false, false)
                if spec.shape.len() == 3
                    && a.is_none()
                    && matches!(input.color, None | Some(Color::Grey)) =>
            {
                Ok(Self { channels: Some(1), ..channels_first })
            }
            _ => Err(LoadError::WhichLayout { tensor: spec.name.clone(), shape: spec.dims() }),
        }
    }
}

fn color(asked: Option<Color>, fixed: Option<usize>, spec: &TensorSpec) -> Result<Color, LoadError> {
    let color = asked.unwrap_or(if fixed == Some(1) { Color::Grey } else { Color::Rgb });
    match fixed {
        Some(fixed) if fixed != channels(color) => Err(LoadError::Channels {
            tensor: spec.name.clone(),
            shape: spec.dims(),
            channels: fixed,
            color: match color {
                Color::Rgb => "rgb",
                Color::Bgr => "bgr",
                Color::Grey => "grey",
            },
            expected: channels(color),
        }),
        _ => Ok(color),
    }
}

/// Height and width.
fn size(asked: Option<[usize; 2]>, axes: &Axes, spec: &TensorSpec) -> Result<[usize; 2], LoadError> {
    let size = match (asked, axes.height, axes.width) {
        (Some(size), height, width) => {
            if height.is_some_and(|height| height != size[0]) || width.is_some_and(|width| width != size[1]) {
                return Err(LoadError::SizeDiffers { size, tensor: spec.name.clone(), shape: spec.dims() });
            }
            size
        }
        (None, Some(height), Some(width)) => [height, width],
        _ => return Err(LoadError::SizeMissing { tensor: spec.name.clone(), shape: spec.dims() }),
    };
    if size.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        Ok(size)
    } else {
        Err(LoadError::SizeRange(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Defaults, Model};
    use predictd_protocol::inference::tensor::Datatype;

    fn resolve(keys: &str, shape: &[i32]) -> Result<Image, String> {
        let text = format!("[input]\nkind = \"image\"\n{keys}");
        let input = Model::parse(&text, "model.toml", &Defaults::default()).unwrap().input.unwrap();
        let shape: Vec<_> = shape.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let spec =
            TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: shape.to_vec(), any_rank: false };
        Image::new(&input, &spec).map_err(|error| error.to_string())
    }

    /// Keys and shape of a tensor, and what comes of them.
    type Case = (&'static str, &'static [i32], Layout, Color, &'static [usize]);

    #[test]
    fn the_shape_says_what_the_recipe_leaves_out() {
        use {Color::*, Layout::*};
        #[rustfmt::skip]
        let cases: [Case; 13] = [
            ("", &[-1, 3, 224, 160], Nchw, Rgb, &[1, 3, 224, 160]),
            ("", &[-1, 224, 160, 3], Nhwc, Rgb, &[1, 224, 160, 3]),
            ("", &[1, 1, 28, 28], Nchw, Grey, &[1, 1, 28, 28]),
            ("", &[-1, 28, 28, 1], Nhwc, Grey, &[1, 28, 28, 1]),
            ("", &[3, 28, 28], Nchw, Rgb, &[3, 28, 28]),
            ("", &[28, 28, 3], Nhwc, Rgb, &[28, 28, 3]),
            ("", &[-1, 28, 28], Nchw, Grey, &[1, 28, 28]),
            ("color = \"bgr\"", &[-1, 3, 8, 8], Nchw, Bgr, &[1, 3, 8, 8]),
            ("size = [32, 64]", &[-1, 3, -1, -1], Nchw, Rgb, &[1, 3, 32, 64]),
            ("size = [32, 64]", &[-1, 3, -1, 64], Nchw, Rgb, &[1, 3, 32, 64]),
            ("size = [32, 64]\nlayout = \"NHWC\"", &[-1, -1, -1, -1], Nhwc, Rgb, &[1, 32, 64, 3]),
            ("layout = \"NHWC\"\ncolor = \"grey\"", &[-1, 3, 8, -1], Nhwc, Grey, &[1, 3, 8, 1]),
            ("layout = \"NCHW\"", &[-1, 3, 8, 3], Nchw, Rgb, &[1, 3, 8, 3]),
        ];
        for (keys, shape, layout, color, row) in cases {
            let image = resolve(keys, shape).unwrap();
            assert_eq!((image.layout, image.color, &image.shape[..]), (layout, color, row), "{shape:?}");
        }
    }

    #[test]
    fn what_the_shape_does_not_say_must_be_set() {
        #[rustfmt::skip]
        let cases: [(&str, &[i32], &str); 10] = [
            ("", &[-1, 3, 8, 3], "set `layout`: the shape [-1, 3, 8, 3] of tensor `x` does not tell whether the channels come first (\"NCHW\") or last (\"NHWC\")"),
            ("", &[-1, -1, -1, -1], "set `layout`"),
            ("", &[-1, 4, 8, 8], "set `layout`"),
            ("layout = \"NCHW\"", &[-1, 4, 8, 8], "tensor `x` with shape [-1, 4, 8, 8] has 4 channels, but color = \"rgb\" has 3"),
            ("color = \"grey\"", &[-1, 3, 8, 8], "tensor `x` with shape [-1, 3, 8, 8] has 3 channels, but color = \"grey\" has 1"),
            ("", &[-1, 3, -1, 8], "set `size`: the shape [-1, 3, -1, 8] of tensor `x` leaves height or width open"),
            ("size = [8, 9]", &[-1, 3, 8, 8], "size = [8, 9], but tensor `x` has shape [-1, 3, 8, 8]"),
            ("size = [0, 9]", &[-1, 3, -1, -1], "size = [0, 9]: height and width are 1 to 16384"),
            ("", &[-1, 784], "tensor `x` has shape [-1, 784], but a picture has 4 dimensions (batch, channels, height, width) or 3"),
            ("color = \"rgb\"", &[-1, 28, 28], "set `layout`"),
        ];
        for (keys, shape, expected) in cases {
            let error = resolve(keys, shape).unwrap_err();
            assert!(error.starts_with(expected), "{keys} {shape:?} gave {error}");
        }
    }
}
