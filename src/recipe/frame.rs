//! Where in a picture the pixels of a tensor come from, and how a picture that lies on its side is turned.
//!
//! Only geometry: no pixel is touched but by [`Turn::upright`], which is for pictures that are small already.

use crate::config::model::Fit;

/// What a picture is brought to, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) fit: Fit,
    /// The least that the short side becomes before the middle is cut out.
    pub(super) short_side: usize,
}

/// A part of the picture, and the part of the frame that it fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placement {
    /// Within the picture, in its pixels.
    pub(super) source: Area,
    /// What the source is resized to.
    pub(super) width: usize,
    /// What the source is resized to.
    pub(super) height: usize,
    /// Where it begins in the frame.
    pub(super) left: usize,
    /// Where it begins in the frame.
    pub(super) top: usize,
}

/// A rectangle that need not begin or end at a pixel's edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Frame {
    /// Places a picture of that size, upright and at least 1 x 1.
    ///
    /// `crop` is torchvision's `Resize(short_side)` and `CenterCrop(size)`, but never leaves a part of the frame empty; `pad` is
    /// Pillow's `ImageOps.pad`. Their ways of rounding are kept, for half a pixel is seen in the tensor.
    pub(super) fn place(&self, width: usize, height: usize) -> Placement {
        let all = Area { left: 0.0, top: 0.0, width: width as f64, height: height as f64 };
        let full = Placement { source: all, width: self.width, height: self.height, left: 0, top: 0 };
        match self.fit {
            Fit::Stretch => full,
            Fit::Crop => {
                let (wide, high) = self.cover(width, height);
                let (left, across) = middle(self.width, wide, width);
                let (top, down) = middle(self.height, high, height);
                Placement { source: Area { left, top, width: across, height: down }, ..full }
            }
            Fit::Pad => {
                let (wide, high) = self.contain(width, height);
                let centred = |frame: usize, part: usize| round((frame - part) as f64 * 0.5);
                Placement {
                    width: wide,
                    height: high,
                    left: centred(self.width, wide),
                    top: centred(self.height, high),
                    ..full
                }
            }
        }
    }

    /// The size that the whole picture would be resized to for a crop.
    fn cover(&self, width: usize, height: usize) -> (usize, usize) {
        // Ratios of whole numbers, so that the side that decides becomes exactly what it should.
        let ratios = [(self.short_side, width.min(height)), (self.width, width), (self.height, height)];
        let larger = |a: (usize, usize), b: (usize, usize)| if a.0 * b.1 >= b.0 * a.1 { a } else { b };
        let (numerator, denominator) = ratios.into_iter().reduce(larger).expect("there are three");
        (width * numerator / denominator, height * numerator / denominator)
    }

    /// The size of the whole picture within the frame.
    fn contain(&self, width: usize, height: usize) -> (usize, usize) {
        let (of_picture, of_frame) = (width as f64 / height as f64, self.width as f64 / self.height as f64);
        if of_picture > of_frame {
            let high = round(height as f64 / width as f64 * self.width as f64);
            (self.width, high.clamp(1, self.height))
        } else if of_picture < of_frame {
            let wide = round(width as f64 / height as f64 * self.height as f64);
            (wide.clamp(1, self.width), self.height)
        } else {
            (self.width, self.height)
        }
    }
}

/// The middle `part` of a side that was resized from `side` to `resized`, in the pixels it had before: start and length.
fn middle(part: usize, resized: usize, side: usize) -> (f64, f64) {
    let scale = side as f64 / resized as f64;
    let start = round((resized - part) as f64 / 2.0) as f64 * scale;
    // The product may be over the edge by the last bit.
    (start, (part as f64 * scale).min(side as f64 - start))
}

/// As Python rounds: halves to the even neighbour.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "of sides of pictures, not negative"
)]
fn round(number: f64) -> usize {
    number.round_ties_even() as usize
}

/// How a stored picture is turned to be upright: the pixel at (x, y) of the upright one is stored at (x, y), or at (y, x) if
/// transposed, counted from the other side where mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    transpose: bool,
    mirror_x: bool,
    mirror_y: bool,
}

impl Turn {
    /// By EXIF's orientation tag, 1 to 8; any other number is no turn.
    pub(super) fn from_exif(orientation: u8) -> Self {
        let (transpose, mirror_x, mirror_y) = match orientation {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, false, true),
            7 => (true, true, true),
            8 => (true, true, false),
            _ => (false, false, false),
        };
        Self { transpose, mirror_x, mirror_y }
    }

    /// A width and height of the other side: stored to upright, or back.
    pub(super) fn size<T>(self, width: T, height: T) -> (T, T) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    /// Where an area of the upright picture is stored, in a picture stored with that size.
    pub(super) fn stored(self, area: Area, width: usize, height: usize) -> Area {
        let (left, top) = self.size(area.left, area.top);
        let (wide, high) = self.size(area.width, area.height);
        let (width, height) = (width as f64, height as f64);
        let left = if self.mirror_x { (width - left - wide).max(0.0) } else { left };
        let top = if self.mirror_y { (height - top - high).max(0.0) } else { top };
        // The differences may be off by the last bit, and then the area over the edge.
        Area { left, top, width: wide.min(width - left), height: high.min(height - top) }
    }

    /// The upright picture of one that is stored with that size and so many bytes per pixel.
    pub(super) fn upright(self, pixels: Vec<u8>, width: usize, height: usize, channels: usize) -> Vec<u8> {
        if self == Self::default() {
            return pixels;
        }
        let (wide, high) = self.size(width, height);
        let mut turned = Vec::with_capacity(pixels.len());
        for y in 0..high {
            for x in 0..wide {
                let (x, y) = self.size(x, y);
                let x = if self.mirror_x { width - 1 - x } else { x };
                let y = if self.mirror_y { height - 1 - y } else { y };
                let at = (y * width + x) * channels;
                turned.extend_from_slice(&pixels[at..at + channels]);
            }
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(fit: Fit, width: usize, height: usize, short_side: usize) -> Frame {
        Frame { width, height, fit, short_side }
    }

    fn area(left: f64, top: f64, width: f64, height: f64) -> Area {
        Area { left, top, width, height }
    }

    #[test]
    fn crop_takes_the_middle_as_torchvision_does() {
        let place = |size: (usize, usize)| frame(Fit::Crop, 224, 224, 256).place(size.0, size.1).source;
        assert_eq!(place((256, 256)), area(16.0, 16.0, 224.0, 224.0));
        assert_eq!(place((512, 512)), area(32.0, 32.0, 448.0, 448.0));
        // 640 x 480 becomes 341 x 256 (341.33 cut off), of which (341 - 224) / 2 = 58.5, rounded to even, is left out.
        let source = place((640, 480));
        assert!((source.left - 58.0 * 640.0 / 341.0).abs() < 1e-9, "{source:?}");
        assert!((source.top - 16.0 * 480.0 / 256.0).abs() < 1e-9);
    }

    #[test]
    fn a_crop_covers_frames_of_any_shape() {
        for (width, height) in [(1, 1), (3, 60_000), (60_000, 1), (31, 33), (1000, 7)] {
            for (frame_width, frame_height, short) in [(224, 224, 224), (448, 224, 256), (10, 300, 10)] {
                let placed = frame(Fit::Crop, frame_width, frame_height, short).place(width, height);
                let source = placed.source;
                assert!(source.left >= 0.0 && source.left + source.width <= width as f64, "{placed:?}");
                assert!(source.top >= 0.0 && source.top + source.height <= height as f64, "{placed:?}");
                assert!(source.width > 0.0 && source.height > 0.0);
                assert_eq!((placed.width, placed.height), (frame_width, frame_height));
            }
        }
    }

    #[test]
    fn no_area_is_over_the_edge_by_the_last_bit() {
        let mut state = 1u32;
        let mut side = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            1 + (state >> 8) as usize % (1 << (1 + state % 16))
        };
        for _ in 0..20_000 {
            let (width, height, wide, high) = (side(), side(), side().min(16_384), side().min(16_384));
            let placed = frame(Fit::Crop, wide, high, wide.min(high) + side() % 64).place(width, height);
            for orientation in 1..=8 {
                let turn = Turn::from_exif(orientation);
                let (width, height) = turn.size(width, height);
                let area = turn.stored(placed.source, width, height);
                assert!(
                    area.left >= 0.0 && area.width > 0.0 && area.top >= 0.0 && area.height > 0.0,
                    "{area:?}"
                );
                assert!(area.left + area.width <= width as f64, "{area:?} of {width}");
                assert!(area.top + area.height <= height as f64, "{area:?} of {height}");
            }
        }
    }

    #[test]
    fn pad_keeps_the_whole_picture_within_the_frame() {
        let place = |width, height| {
            let placed = frame(Fit::Pad, 28, 28, 28).place(width, height);
            (placed.width, placed.height, placed.left, placed.top)
        };
        assert_eq!(place(10, 10), (28, 28, 0, 0));
        assert_eq!(place(20, 10), (28, 14, 0, 7));
        assert_eq!(place(10, 30), (9, 28, 10, 0)); // 9.5 rounded to even
        assert_eq!(place(1, 65_535), (1, 28, 14, 0)); // 13.5 rounded to even
    }

    #[test]
    fn a_turn_puts_pixels_where_exif_says() {
        // Stored as  1 2 3  and shown as the table of EXIF's tag 0x0112 has it.
        //            4 5 6
        let stored = vec![1, 2, 3, 4, 5, 6];
        for (orientation, upright) in [
            (1, [1, 2, 3, 4, 5, 6]),
            (2, [3, 2, 1, 6, 5, 4]),
            (3, [6, 5, 4, 3, 2, 1]),
            (4, [4, 5, 6, 1, 2, 3]),
            (5, [1, 4, 2, 5, 3, 6]),
            (6, [4, 1, 5, 2, 6, 3]),
            (7, [6, 3, 5, 2, 4, 1]),
            (8, [3, 6, 2, 5, 1, 4]),
            (0, [1, 2, 3, 4, 5, 6]),
            (9, [1, 2, 3, 4, 5, 6]),
        ] {
            let turn = Turn::from_exif(orientation);
            assert_eq!(turn.upright(stored.clone(), 3, 2, 1), upright, "orientation {orientation}");
            // The first pixel of the upright picture is stored where it came from.
            let corner = turn.stored(area(0.0, 0.0, 1.0, 1.0), 3, 2);
            let at = (corner.top * 3.0 + corner.left).round();
            assert_eq!(at + 1.0, f64::from(upright[0]), "orientation {orientation}");
        }
        assert_eq!(Turn::from_exif(6).upright(vec![1, 1, 2, 2], 2, 1, 2), [1, 1, 2, 2]);
    }
}
