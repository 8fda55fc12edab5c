//! Pictures of every format and of none, and those that are refused before memory is taken for them.

use super::*;
use image::{ExtendedColorType, ImageEncoder, codecs};

const LIMIT: u64 = 50_000_000;

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/images/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn refused(bytes: &[u8]) -> PictureError {
    Picture::decode(bytes, LIMIT).err().expect("no picture")
}

fn png(width: u32, height: u32, color: ExtendedColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    codecs::png::PngEncoder::new(&mut bytes).write_image(pixels, width, height, color).unwrap();
    bytes
}

#[test]
fn a_format_is_known_by_its_first_bytes() {
    for (name, format) in [
        ("rotated.jpg", Some(Format::Jpeg)),
        ("rgba.png", Some(Format::Png)),
        ("webp_lossy.webp", Some(Format::WebP)),
        ("animated.gif", Some(Format::Gif)),
        ("bmp.bmp", Some(Format::Bmp)),
        ("not_an_image.png", None),
        ("empty.png", None),
    ] {
        assert_eq!(sniff(&file(name)), format, "{name}");
    }
    assert_eq!(sniff(b"BM is not enough for a bitmap"), None);
    assert_eq!(sniff(b"RIFF\0\0\0\0WAVE"), None);
}

#[test]
fn headers_that_promise_too_much_are_refused_by_what_they_say() {
    for name in ["bomb.bmp", "bomb.gif", "bomb.jpg", "bomb.png"] {
        let error = refused(&file(name)).to_string();
        assert_eq!(error, "60000 x 60000 pixels is over the limit of 50000000", "{name}");
    }
    // The one side that the decoder has no number for: it takes 16384 for 0.
    assert_eq!(refused(&file("bomb.webp")), PictureError::Empty(Format::WebP));
    let error = refused(&file("over_limit.png")).to_string();
    assert_eq!(error, "7072 x 7072 pixels is over the limit of 50000000");
    let wide = png(65_536, 1, ExtendedColorType::L8, &[0; 65_536]);
    assert_eq!(refused(&wide).to_string(), "65536 x 1 pixels: a side is over the limit of 65535");
    assert!(Picture::decode(&png(65_535, 1, ExtendedColorType::L8, &[0; 65_535]), LIMIT).is_ok());
}

#[test]
fn bytes_that_are_no_picture_are_refused_in_words() {
    for (name, expected) in [
        ("empty.png", "this is no JPEG, PNG, WebP, GIF or BMP picture"),
        ("not_an_image.png", "this is no JPEG, PNG, WebP, GIF or BMP picture"),
        ("only_magic.png", "the PNG is truncated"),
        ("truncated.png", "the PNG is truncated"),
        ("truncated.jpg", "the JPEG is truncated"),
    ] {
        assert_eq!(refused(&file(name)).to_string(), expected, "{name}");
    }
    let mut broken = file("rgba.png");
    let middle = broken.len() / 2;
    broken[middle] ^= 0x55;
    let error = refused(&broken).to_string();
    assert!(error.starts_with("the PNG is broken: "), "{error}");
}

/// Every beginning of every format, and every byte of the header changed: an error or a picture, never a panic.
#[test]
fn no_cut_and_no_changed_byte_panics() {
    let names = ["rotated.jpg", "cmyk.jpg", "progressive.jpg", "rgba.png", "palette.png", "grey16.png"];
    let more = ["animated.gif", "bmp.bmp", "webp_lossy.webp", "webp_lossless.webp"];
    for name in names.into_iter().chain(more) {
        let whole = file(name);
        for length in (0..whole.len()).step_by(1 + whole.len() / 300) {
            let cut = Picture::decode(&whole[..length], 10_000);
            assert!(cut.is_err() || length > whole.len() / 2, "{name} cut at {length}");
        }
        for at in 0..whole.len().min(400) {
            for mask in [0xff, 0x01, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= mask;
                _ = Picture::decode(&changed, 10_000);
            }
        }
    }
}

#[test]
fn alpha_stays_for_later_and_16_bits_become_8() {
    let decode = |color, pixels: &[u8]| {
        let picture = Picture::decode(&png(2, 1, color, pixels), LIMIT).unwrap();
        (picture.channels, picture.pixels)
    };
    let of = |numbers: &[u16]| numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<_>>();
    assert_eq!(decode(ExtendedColorType::L8, &[1, 2]), (1, vec![1, 2]));
    assert_eq!(decode(ExtendedColorType::La8, &[1, 0, 2, 9]), (2, vec![1, 0, 2, 9]));
    assert_eq!(
        decode(ExtendedColorType::Rgba8, &[1, 2, 3, 0, 4, 5, 6, 9]),
        (4, vec![1, 2, 3, 0, 4, 5, 6, 9])
    );
    assert_eq!(decode(ExtendedColorType::L16, &of(&[0x12ff, 0xab00])), (1, vec![0x12, 0xab]));
    let wide = of(&[0x0100, 0x0200, 0x0300, 0x0400, 0x0500, 0x06ff]);
    assert_eq!(decode(ExtendedColorType::Rgb16, &wide), (3, vec![1, 2, 3, 4, 5, 6]));
}

#[test]
fn a_gif_without_pixels_is_empty() {
    let mut gif = file("animated.gif");
    gif[6..10].fill(0);
    assert_eq!(refused(&gif), PictureError::Empty(Format::Gif));
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap().to_le_bytes();
    let pad = &[0][..content.len() % 2];
    [name, &size[..], content, pad].concat()
}

/// A WebP with an extended header of a canvas of 28 x 28, and these chunks.
fn extended(flags: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let head = chunk(b"VP8X", &[flags, 0, 0, 0, 27, 0, 0, 27, 0, 0]);
    let content = [&b"WEBP"[..], &head, &chunks.concat()].concat();
    chunk(b"RIFF", &content)
}

#[test]
fn a_webp_is_turned_by_its_exif() {
    let still = file("webp_lossy.webp");
    let (_, frame, _) = webp_chunk(&still, 12).unwrap();
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let webp = extended(0x08, &[chunk(b"VP8 ", frame), chunk(b"EXIF", exif)]);
    let picture = Picture::decode(&webp, LIMIT).unwrap();
    assert_eq!(picture.turn, Turn::from_exif(6));
    assert_eq!(Picture::decode(&still, LIMIT).unwrap().turn, Turn::default());
}

#[test]
fn a_webp_chunk_that_claims_to_be_huge_takes_no_memory() {
    let still = file("webp_lossy.webp");
    let (_, frame, _) = webp_chunk(&still, 12).unwrap();
    let mut webp = extended(0x08, &[chunk(b"VP8 ", frame), chunk(b"EXIF", b"II*\0")]);
    let at = webp.len() - 8;
    webp[at..at + 4].copy_from_slice(&[0xff; 4]);
    assert_eq!(Picture::decode(&webp, LIMIT).unwrap().turn, Turn::default());
}

#[test]
fn a_frame_larger_than_its_canvas_is_refused_by_its_own_header() {
    let still = file("webp_lossy.webp");
    let (_, frame, _) = webp_chunk(&still, 12).unwrap();
    let mut frame = frame.to_vec();
    frame[6..10].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let vp8 = chunk(b"VP8 ", &frame);
    let animation = [chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &[&[0; 16][..], &vp8].concat())];
    for webp in [extended(0, &[vp8]), extended(0x02, &animation)] {
        let error = refused(&webp).to_string();
        assert_eq!(error, "16383 x 16383 pixels is over the limit of 50000000");
    }
}
