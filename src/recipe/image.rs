//! A picture into the tensor of one row: decoded, turned upright, brought to size, its channels and values as the model wants.
//!
//! The recipe is checked against the model once; then it works on bytes from anybody, in memory bounded by the limit of pixels.

use crate::{
    config::model::{Color, Filter, Fit, ImageInput, Layout, PerChannel},
    recipe::{
        LoadError, PictureError,
        error::choose,
        frame::Frame,
        layout::{Image, channels},
        picture::Picture,
    },
};
use fast_image_resize as fir;
use half::{bf16, f16};
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::{Datatype, Element, Tensor},
};

/// An `[input]` of kind `"image"`, checked against its model.
#[derive(Clone, Debug)]
pub struct Recipe {
    tensor: String,
    image: Image,
    frame: Frame,
    filter: fir::ResizeAlg,
    values: Values,
}

/// What each of the 256 values of a pixel becomes, per channel of the tensor: exact, and nothing is left to compute per pixel.
#[derive(Clone, Debug)]
enum Values {
    Uint8(Vec<[u8; 256]>),
    Fp16(Vec<[f16; 256]>),
    Bf16(Vec<[bf16; 256]>),
    Fp32(Vec<[f32; 256]>),
    Fp64(Vec<[f64; 256]>),
}

/// Pixels of the frame's size, upright.
struct Pixels {
    channels: usize,
    bytes: Vec<u8>,
}

impl Recipe {
    /// Checks a recipe against what the model takes.
    ///
    /// # Errors
    /// Where they do not fit together, or the shape leaves open what the recipe does not say.
    pub fn new(input: &ImageInput, inputs: &[TensorSpec]) -> Result<Self, LoadError> {
        let spec = choose(inputs, input.tensor.as_deref(), "input", |_| true)?;
        let image = Image::new(input, spec)?;
        let values = Values::new(input, spec, channels(image.color))?;
        let frame = Frame {
            width: image.width,
            height: image.height,
            fit: input.fit,
            short_side: short_side(input, &image)?,
        };
        let filter = match input.filter {
            // CatmullRom is the cubic with a = -0.5.
            Filter::Bicubic => fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom),
            Filter::Bilinear => fir::ResizeAlg::Convolution(fir::FilterType::Bilinear),
            Filter::Lanczos => fir::ResizeAlg::Convolution(fir::FilterType::Lanczos3),
            Filter::Nearest => fir::ResizeAlg::Nearest,
        };
        Ok(Self { tensor: spec.name.clone(), image, frame, filter, values })
    }

    /// The input that it fills.
    #[must_use]
    pub fn tensor(&self) -> &str {
        &self.tensor
    }

    /// The shape of each tensor that it makes: one row, with a first dimension of 1 where the model has one for the batch.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.image.shape
    }

    /// The tensor of a picture of at most `max_pixels`. EXIF's orientation is applied; alpha is dropped, as Pillow's
    /// `convert("RGB")` drops it; grey has Pillow's weights (ITU-R 601).
    ///
    /// # Errors
    /// Where the bytes are no picture that can be prepared.
    pub fn prepare(&self, bytes: &[u8], max_pixels: u64) -> Result<Tensor, PictureError> {
        let picture = Picture::decode(bytes, max_pixels)?;
        let mut pixels = self.bring_to_size(&picture);
        drop(picture);
        if self.image.color == Color::Grey {
            pixels = pixels.grey();
        }
        Ok(match &self.values {
            Values::Uint8(table) => self.arrange(&pixels, table),
            Values::Fp16(table) => self.arrange(&pixels, table),
            Values::Bf16(table) => self.arrange(&pixels, table),
            Values::Fp32(table) => self.arrange(&pixels, table),
            Values::Fp64(table) => self.arrange(&pixels, table),
        })
    }

    /// Only the part that is seen is resized, as it is stored; what is left is small, and is turned.
    fn bring_to_size(&self, picture: &Picture) -> Pixels {
        const FITS: &str = "the area lies within the picture, whose bytes are as many as its size says";
        let (stored_width, stored_height) = (picture.width as usize, picture.height as usize);
        let (width, height) = picture.turn.size(stored_width, stored_height);
        let placed = self.frame.place(width, height);
        let area = picture.turn.stored(placed.source, stored_width, stored_height);
        let (width, height) = picture.turn.size(placed.width, placed.height);
        let channels = picture.channels;
        let kind = match channels {
            1 => fir::PixelType::U8,
            2 => fir::PixelType::U8x2,
            3 => fir::PixelType::U8x3,
            _ => fir::PixelType::U8x4,
        };
        let source =
            fir::images::ImageRef::new(picture.width, picture.height, &picture.pixels, kind).expect(FITS);
        let mut resized = fir::images::Image::new(to_u32(width), to_u32(height), kind);
        let options = fir::ResizeOptions::new()
            .resize_alg(self.filter)
            .crop(area.left, area.top, area.width, area.height)
            .use_alpha(false);
        fir::Resizer::new().resize(&source, &mut resized, &options).expect(FITS);

        let bytes = picture.turn.upright(resized.into_vec(), width, height, channels);
        if (placed.width, placed.height) == (self.frame.width, self.frame.height) {
            return Pixels { channels, bytes };
        }
        let mut padded = vec![0; self.frame.width * self.frame.height * channels];
        let rows = padded.chunks_exact_mut(self.frame.width * channels).skip(placed.top);
        let (left, length) = (placed.left * channels, placed.width * channels);
        for (row, part) in rows.zip(bytes.chunks_exact(length)) {
            row[left..left + length].copy_from_slice(part);
        }
        Pixels { channels, bytes: padded }
    }

    /// Looks each value up and puts it where the layout has it.
    fn arrange<T: Element + Copy>(&self, pixels: &Pixels, tables: &[[T; 256]]) -> Tensor {
        // Where the channels of the tensor are in a pixel.
        let from: &[usize] = match (self.image.color, pixels.channels) {
            (Color::Grey, _) => &[0],
            (_, 1 | 2) => &[0, 0, 0],
            (Color::Rgb, _) => &[0, 1, 2],
            (Color::Bgr, _) => &[2, 1, 0],
        };
        let each = pixels.bytes.chunks_exact(pixels.channels);
        let mut numbers = Vec::with_capacity(each.len() * from.len());
        match self.image.layout {
            Layout::Nchw => {
                for (table, at) in tables.iter().zip(from) {
                    numbers.extend(each.clone().map(|pixel| table[usize::from(pixel[*at])]));
                }
            }
            Layout::Nhwc => {
                for pixel in each {
                    numbers.extend(tables.iter().zip(from).map(|(table, at)| table[usize::from(pixel[*at])]));
                }
            }
        }
        Tensor::from_numbers(self.image.shape.clone(), numbers)
            .expect("the shape has the frame's size and the color's channels")
    }
}

impl Pixels {
    /// Lightness by the weights of ITU-R 601, in Pillow's fixed-point numbers, so that it is the same to the bit.
    fn grey(self) -> Self {
        let channels = self.channels;
        if channels < 3 {
            return self;
        }
        let weigh = |pixel: &[u8]| {
            let [red, green, blue] = [0, 1, 2].map(|at| u32::from(pixel[at]));
            ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
        };
        Self { channels: 1, bytes: self.bytes.chunks_exact(channels).map(weigh).collect() }
    }
}

impl Values {
    fn new(input: &ImageInput, spec: &TensorSpec, channels: usize) -> Result<Self, LoadError> {
        if spec.datatype == Datatype::Uint8 {
            let keys = [
                ("scale", input.scale.is_some()),
                ("mean", input.mean.is_some()),
                ("std", input.std.is_some()),
            ];
            if let Some((key, _)) = keys.iter().find(|(_, set)| *set) {
                let why =
                    format!("has no effect, since tensor `{}` is UINT8 and gets the bare pixels", spec.name);
                return Err(LoadError::Value { key, why });
            }
            return Ok(Self::Uint8(vec![std::array::from_fn(|pixel| pixel as u8); channels]));
        }
        let scale = input.scale.unwrap_or(1.0 / 255.0);
        let mean = per_channel("mean", input.mean.as_ref(), 0.0, channels)?;
        let std = per_channel("std", input.std.as_ref(), 1.0, channels)?;
        let value = |channel: usize, pixel: usize| (pixel as f64 * scale - mean[channel]) / std[channel];
        if !(0..channels).all(|channel| value(channel, 255).is_finite() && value(channel, 0).is_finite()) {
            return Err(LoadError::Value {
                key: "scale, mean, std",
                why: "(pixel * scale - mean) / std is not finite".into(),
            });
        }
        fn tables<T>(channels: usize, value: impl Fn(usize, usize) -> T) -> Vec<[T; 256]> {
            (0..channels).map(|channel| std::array::from_fn(|pixel| value(channel, pixel))).collect()
        }
        match spec.datatype {
            Datatype::Fp16 => {
                Ok(Self::Fp16(tables(channels, |channel, pixel| f16::from_f64(value(channel, pixel)))))
            }
            Datatype::Bf16 => {
                Ok(Self::Bf16(tables(channels, |channel, pixel| bf16::from_f64(value(channel, pixel)))))
            }
            Datatype::Fp32 => Ok(Self::Fp32(tables(channels, |channel, pixel| value(channel, pixel) as f32))),
            Datatype::Fp64 => Ok(Self::Fp64(tables(channels, value))),
            datatype => Err(LoadError::Datatype {
                tensor: spec.name.clone(),
                datatype,
                purpose: "a picture",
                wanted: "FP32, FP16, BF16, FP64 or UINT8",
            }),
        }
    }
}

fn short_side(input: &ImageInput, image: &Image) -> Result<usize, LoadError> {
    let least = image.width.min(image.height);
    let why = match input.short_side {
        None => return Ok(least),
        Some(_) if input.fit != Fit::Crop => "has an effect only with fit = \"crop\"".into(),
        Some(side) if side < least => format!("{side} is less than the size's {least}"),
        Some(side) if side > crate::recipe::layout::MAX_SIDE => {
            format!("{side} is over {}", crate::recipe::layout::MAX_SIDE)
        }
        Some(side) => return Ok(side),
    };
    Err(LoadError::Value { key: "short_side", why })
}

fn per_channel(
    key: &'static str,
    asked: Option<&PerChannel>,
    default: f64,
    channels: usize,
) -> Result<Vec<f64>, LoadError> {
    match asked {
        None => Ok(vec![default; channels]),
        Some(PerChannel::All(number)) => Ok(vec![*number; channels]),
        Some(PerChannel::Each(numbers)) if numbers.len() == channels => Ok(numbers.clone()),
        Some(PerChannel::Each(numbers)) => {
            let why = format!("has {} numbers for {channels} channels", numbers.len());
            Err(LoadError::Value { key, why })
        }
    }
}

fn to_u32(side: usize) -> u32 {
    u32::try_from(side).expect("a tensor's side is at most 16384")
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
