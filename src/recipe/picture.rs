//! The bytes of a picture, from anybody, into pixels: refused by what the header says before memory is taken for it.
//!
//! Alpha is kept here and dropped later, 16 bits become the upper 8, grey stays grey: what Pillow, OpenCV and TensorFlow make of
//! a picture when they are asked for three channels, and so what a model was most likely trained with.

use crate::recipe::frame::Turn;
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, metadata::Orientation};
use std::{fmt, io::Cursor};

/// The longest side of a picture, in pixels, whatever its other side: what JPEG has room for. Work and memory of a resize grow
/// with it.
const MAX_SIDE: u32 = 65_535;

/// What kind of picture some bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Joint Photographic Experts Group.
    Jpeg,
    /// Portable Network Graphics.
    Png,
    /// Google's WebP; of an animation the first frame.
    WebP,
    /// Graphics Interchange Format; of an animation the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
}

/// Why bytes are no picture that can be prepared; the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// None of the formats.
    #[error("this is no JPEG, PNG, WebP, GIF or BMP picture")]
    Unknown,
    /// It ends too early.
    #[error("the {0} is truncated")]
    Truncated(Format),
    /// Something in it is wrong.
    #[error("the {format} is broken: {why}")]
    Broken {
        /// What it is.
        format: Format,
        /// What the decoder says.
        why: String,
    },
    /// A kind of its format that is not decoded.
    #[error("this kind of {format} is not supported: {why}")]
    Unsupported {
        /// What it is.
        format: Format,
        /// What the decoder says.
        why: String,
    },
    /// The header says a side of 0.
    #[error("the {0} has no pixels")]
    Empty(Format),
    /// More pixels than are allowed.
    #[error("{width} x {height} pixels is over the limit of {limit}")]
    TooManyPixels {
        /// Of the picture.
        width: u32,
        /// Of the picture.
        height: u32,
        /// Of their product.
        limit: u64,
    },
    /// One side is too long.
    #[error("{width} x {height} pixels: a side is over the limit of {MAX_SIDE}")]
    TooLong {
        /// Of the picture.
        width: u32,
        /// Of the picture.
        height: u32,
    },
    /// Something besides its pixels.
    #[error("the {0} needs more memory than a picture of the allowed size")]
    TooMuchMemory(Format),
}

/// A decoded picture, as it was stored.
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    /// 1 grey, 2 grey and alpha, 3 red, green and blue, 4 and alpha.
    pub(super) channels: usize,
    /// Row by row from the top, a byte per channel.
    pub(super) pixels: Vec<u8>,
    /// What makes it upright.
    pub(super) turn: Turn,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
        })
    }
}

/// What kind of picture the bytes say they are, by their beginning.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Format::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        // Two letters alone might begin anything, so the size of the header that follows must be one of those there are.
        [b'B', b'M', ..]
            if matches!(bytes.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])) =>
        {
            Some(Format::Bmp)
        }
        _ => None,
    }
}

impl Picture {
    /// Decodes a picture of at most `max_pixels`; takes up to 8 bytes of memory for each, and as much again while it works.
    pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Self, PictureError> {
        let format = sniff(bytes).ok_or(PictureError::Unknown)?;
        let error = |error| PictureError::new(format, &error);
        let mut reader = ImageReader::with_format(
            Cursor::new(bytes),
            match format {
                Format::Jpeg => ImageFormat::Jpeg,
                Format::Png => ImageFormat::Png,
                Format::WebP => ImageFormat::WebP,
                Format::Gif => ImageFormat::Gif,
                Format::Bmp => ImageFormat::Bmp,
            },
        );
        let mut limits = Limits::no_limits();
        // Pixels of 16 bits and four channels, and something for tables.
        limits.max_alloc = Some(max_pixels.saturating_mul(8).saturating_add(1 << 20));
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(error)?;

        let (width, height) = decoder.dimensions();
        check_size(format, width, height, max_pixels)?;
        let orientation = match format {
            Format::Jpeg if !jpeg_ends(bytes) => return Err(PictureError::Truncated(format)),
            Format::WebP => webp_orientation(bytes, max_pixels)?,
            _ => decoder.orientation().unwrap_or(Orientation::NoTransforms),
        };
        let turn = Turn::from_exif(orientation.to_exif());

        let color = decoder.color_type();
        let channels = usize::from(color.channel_count());
        let size = usize::try_from(decoder.total_bytes()).map_err(|_| PictureError::TooMuchMemory(format))?;
        let mut pixels = vec![0; size];
        decoder.read_image(&mut pixels).map_err(error)?;
        if matches!(color, ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16) {
            keep_upper_halves(&mut pixels);
        }
        Ok(Self { width, height, channels, pixels, turn })
    }
}

fn check_size(format: Format, width: u32, height: u32, limit: u64) -> Result<(), PictureError> {
    if width == 0 || height == 0 {
        Err(PictureError::Empty(format))
    } else if u64::from(width) * u64::from(height) > limit {
        Err(PictureError::TooManyPixels { width, height, limit })
    } else if width.max(height) > MAX_SIDE {
        Err(PictureError::TooLong { width, height })
    } else {
        Ok(())
    }
}

/// Numbers of 16 bits, in this machine's order of bytes, into their upper 8.
fn keep_upper_halves(pixels: &mut Vec<u8>) {
    let upper = usize::from(cfg!(target_endian = "little"));
    let count = pixels.len() / 2;
    for at in 0..count {
        pixels[at] = pixels[2 * at + upper];
    }
    pixels.truncate(count);
}

/// Whether a JPEG has its end. The decoder fills what is missing with grey and says nothing, and a model would answer as if it
/// had seen the picture.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    // Segments up to the scan, which may hold a whole other JPEG as a thumbnail: marker, length with itself, content.
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        match marker {
            0xda => return bytes[at..].windows(2).rev().any(|pair| pair == [0xff, 0xd9]),
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    // Not what it should be: the decoder says how. Or at the end already.
    at + 4 <= bytes.len()
}

/// The orientation that a WebP's EXIF has. Its decoder would take as much memory for it as the chunk claims to be long, and for a
/// frame as much as that says, however small the canvas; so this sees to frames too.
fn webp_orientation(bytes: &[u8], max_pixels: u64) -> Result<Orientation, PictureError> {
    let mut orientation = None;
    let mut at = 12;
    while let Some((name, content, next)) = webp_chunk(bytes, at) {
        match name {
            b"EXIF" => orientation = orientation.or_else(|| Orientation::from_exif_chunk(content)),
            b"VP8 " => check_frame(content, max_pixels)?,
            // 16 bytes on the frame of an animation, then chunks as in a still picture.
            b"ANMF" => {
                let mut inner = 16;
                while let Some((name, content, next)) = webp_chunk(content, inner) {
                    if name == b"VP8 " {
                        check_frame(content, max_pixels)?;
                    }
                    inner = next;
                }
            }
            _ => {}
        }
        at = next;
    }
    Ok(orientation.unwrap_or(Orientation::NoTransforms))
}

/// Name and content of the chunk that begins there, as far as there are bytes of it, and where the next one begins.
fn webp_chunk(bytes: &[u8], at: usize) -> Option<(&[u8; 4], &[u8], usize)> {
    let (name, rest) = bytes.get(at..)?.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let size = u32::from_le_bytes(*size) as usize;
    let content = &rest[..size.min(rest.len())];
    Some((name, content, at + 8 + size + size % 2))
}

/// The size in the header of a VP8 key frame (RFC 6386, section 9.1).
fn check_frame(content: &[u8], max_pixels: u64) -> Result<(), PictureError> {
    let Some(&[a, b, c, d]) = content.get(6..10) else { return Err(PictureError::Truncated(Format::WebP)) };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    check_size(Format::WebP, side(a, b), side(c, d), max_pixels)
}

impl PictureError {
    fn new(format: Format, error: &ImageError) -> Self {
        let ends_early = |io: &std::io::Error| io.kind() == std::io::ErrorKind::UnexpectedEof;
        if matches!(error, ImageError::IoError(io) if ends_early(io)) {
            return Self::Truncated(format);
        }
        // The innermost is what the decoder itself says; the others say only that it was decoding.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        if cause.downcast_ref().is_some_and(ends_early) {
            return Self::Truncated(format);
        }
        let why: String = cause.to_string().lines().next().unwrap_or_default().chars().take(200).collect();
        match error {
            ImageError::Limits(_) => Self::TooMuchMemory(format),
            ImageError::Unsupported(_) => Self::Unsupported { format, why },
            _ => Self::Broken { format, why },
        }
    }
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
