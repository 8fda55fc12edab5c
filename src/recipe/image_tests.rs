//! Pictures into tensors, by every key of the recipe, and recipes that do not fit their model.

use super::*;
use crate::config::model::{Defaults, Model};

const LIMIT: u64 = 50_000_000;

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn image_input(keys: &str) -> ImageInput {
    let text = format!("[input]\nkind = \"image\"\n{keys}");
    Model::parse(&text, "model.toml", &Defaults::default()).unwrap().input.unwrap()
}

fn recipe(keys: &str, datatype: Datatype, shape: &[i32]) -> Result<Recipe, String> {
    let input = image_input(keys);
    let shape: Vec<_> = shape.iter().map(|dim| usize::try_from(*dim).ok()).collect();
    let recipe = Recipe::new(
        &input,
        &[TensorSpec { name: "x".into(), datatype, shape: shape.to_vec(), any_rank: false }],
    );
    recipe.map_err(|error| error.to_string())
}

fn bytes(tensor: &Tensor) -> &[u8] {
    tensor.numbers().expect("UINT8")
}

fn png(width: u32, height: u32, color: image::ExtendedColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::write_image(encoder, pixels, width, height, color).unwrap();
    bytes
}

#[test]
fn pixels_are_those_that_pillow_makes() {
    for (keys, golden, tolerance) in [
        ("short_side = 37", "crop_bicubic", 1),
        ("short_side = 64", "crop_unscaled", 0),
        ("short_side = 90", "crop_enlarged", 1),
        ("short_side = 37\nfilter = \"nearest\"", "crop_nearest", 0),
        ("fit = \"stretch\"\nfilter = \"bilinear\"", "stretch_bilinear", 1),
        ("fit = \"pad\"\nfilter = \"lanczos\"", "pad_lanczos", 1),
        ("short_side = 37\ncolor = \"grey\"", "grey", 1),
    ] {
        let channels = if golden == "grey" { 1 } else { 3 };
        let recipe = recipe(keys, Datatype::Uint8, &[-1, 32, 24, channels]).unwrap();
        let tensor = recipe.prepare(&file("pillow/cat.png"), LIMIT).unwrap();
        let expected = image::load_from_memory(&file(&format!("pillow/{golden}.png"))).unwrap().into_bytes();
        assert_eq!(bytes(&tensor).len(), expected.len(), "{golden}");
        let off = bytes(&tensor).iter().zip(&expected).map(|(got, want)| got.abs_diff(*want)).max();
        assert!(off <= Some(tolerance), "{golden} is off by {off:?}");
    }
}

#[test]
fn layout_and_color_order_the_same_values() {
    let picture = png(2, 1, image::ExtendedColorType::Rgb8, &[1, 2, 3, 4, 5, 6]);
    let prepare = |keys: &str, shape: &[i32]| {
        let tensor = recipe(keys, Datatype::Uint8, shape).unwrap().prepare(&picture, LIMIT).unwrap();
        (tensor.shape().to_vec(), bytes(&tensor).to_vec())
    };
    assert_eq!(prepare("", &[-1, 3, 1, 2]), (vec![1, 3, 1, 2], vec![1, 4, 2, 5, 3, 6]));
    assert_eq!(prepare("color = \"bgr\"", &[1, 3, 1, 2]), (vec![1, 3, 1, 2], vec![3, 6, 2, 5, 1, 4]));
    let nhwc = "layout = \"NHWC\"\n";
    assert_eq!(prepare(nhwc, &[-1, 1, 2, 3]), (vec![1, 1, 2, 3], vec![1, 2, 3, 4, 5, 6]));
    let bgr = format!("{nhwc}color = \"bgr\"");
    assert_eq!(prepare(&bgr, &[1, 2, 3]), (vec![1, 2, 3], vec![3, 2, 1, 6, 5, 4]));
    assert_eq!(prepare("layout = \"NCHW\"", &[-1, 1, 1, 2]), (vec![1, 1, 1, 2], vec![2, 5]));
}

#[test]
fn grey_fills_all_channels_and_alpha_is_dropped() {
    let prepare = |color, pixel: &[u8]| {
        let picture = png(1, 1, color, pixel);
        let recipe = recipe("", Datatype::Uint8, &[-1, 1, 1, 3]);
        let recipe = recipe.or_else(|_| self::recipe("layout = \"NHWC\"", Datatype::Uint8, &[-1, 1, 1, 3]));
        bytes(&recipe.unwrap().prepare(&picture, LIMIT).unwrap()).to_vec()
    };
    assert_eq!(prepare(image::ExtendedColorType::L8, &[7]), [7, 7, 7]);
    assert_eq!(prepare(image::ExtendedColorType::La8, &[7, 0]), [7, 7, 7]);
    assert_eq!(prepare(image::ExtendedColorType::Rgba8, &[10, 20, 30, 0]), [10, 20, 30]);
}

#[test]
fn a_value_is_scaled_less_the_mean_by_the_deviation() {
    let picture = png(1, 1, image::ExtendedColorType::Rgb8, &[0, 127, 255]);
    let prepare = |keys: &str, datatype| {
        let keys = format!("layout = \"NCHW\"\n{keys}");
        let tensor = recipe(&keys, datatype, &[-1, 3, 1, 1]).unwrap().prepare(&picture, LIMIT).unwrap();
        assert_eq!((tensor.datatype(), tensor.shape()), (datatype, &[1, 3, 1, 1][..]));
        tensor.to_f32().unwrap()
    };
    assert_eq!(prepare("", Datatype::Fp32), [0.0, 127.0 / 255.0, 1.0]);
    assert_eq!(prepare("scale = 1\nmean = 127\nstd = 128", Datatype::Fp32), [-127.0 / 128.0, 0.0, 1.0]);
    let imagenet = prepare("mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]", Datatype::Fp32);
    let expected = [-0.485 / 0.229, (127.0 / 255.0 - 0.456) / 0.224, (1.0 - 0.406) / 0.225];
    assert!(imagenet.iter().zip(expected).all(|(got, want): (&f32, f32)| (got - want).abs() < 1e-6));
    for datatype in [Datatype::Fp16, Datatype::Bf16, Datatype::Fp64] {
        assert_eq!(prepare("scale = 1\nmean = 127\nstd = 128", datatype)[1..], [0.0, 1.0]);
    }
}

#[test]
fn every_kind_of_picture_shows_the_same_seven() {
    let recipe = recipe("fit = \"pad\"", Datatype::Uint8, &[-1, 1, 28, 28]).unwrap();
    let tensor = |name: &str| recipe.prepare(&file(name), LIMIT).unwrap();
    let seven = tensor("images/bmp.bmp");
    for (name, tolerance) in [
        ("images/animated.gif", 4),
        ("images/cmyk.jpg", 24),
        ("images/grey16.png", 1),
        ("images/palette.png", 16),
        ("images/progressive.jpg", 24),
        ("images/rgba.png", 2),
        ("images/rotated.jpg", 24),
        ("images/webp_lossless.webp", 2),
        ("images/webp_lossy.webp", 40),
    ] {
        let pairs = bytes(&seven).iter().zip(bytes(&tensor(name)).to_vec());
        let off = pairs.map(|(want, got)| want.abs_diff(got)).max();
        assert!(off <= Some(tolerance), "{name} is off by {off:?}");
    }
}

/// Of a turned picture the same part is taken as of an upright one, though it is cut out before it is turned.
#[test]
fn orientation_is_applied_before_the_crop() {
    // A ramp over a wide picture, stored as is, and on its side with EXIF saying 6 (turn it right to show it).
    let (width, height) = (40u8, 20u8);
    let pixel = |x: u8, y: u8| x * 4 + y * 3;
    let upright: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| pixel(x, y))).collect();
    let stored: Vec<u8> =
        (0..width).flat_map(|y| (0..height).map(move |x| pixel(width - 1 - y, x))).collect();
    let plain = png(40, 20, image::ExtendedColorType::L8, &upright);
    let mut turned = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut turned);
    let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    image::ImageEncoder::set_exif_metadata(&mut encoder, exif).unwrap();
    image::ImageEncoder::write_image(encoder, &stored, 20, 40, image::ExtendedColorType::L8).unwrap();
    for keys in ["", "short_side = 13", "fit = \"pad\"", "fit = \"stretch\""] {
        let recipe = recipe(keys, Datatype::Uint8, &[-1, 1, 12, 8]).unwrap();
        let (plain, turned) =
            (recipe.prepare(&plain, LIMIT).unwrap(), recipe.prepare(&turned, LIMIT).unwrap());
        let off = bytes(&plain).iter().zip(bytes(&turned)).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(1), "{keys}: off by {off:?}");
    }
}

#[test]
fn pictures_of_any_shape_are_prepared() {
    for (width, height) in [(1, 1), (1, 3000), (3000, 1), (65_535, 1), (1, 65_535), (2, 3), (223, 225)] {
        let picture = png(width, height, image::ExtendedColorType::L8, &vec![9; (width * height) as usize]);
        for keys in ["", "short_side = 31", "fit = \"pad\"", "fit = \"stretch\"", "filter = \"nearest\""] {
            let recipe = recipe(keys, Datatype::Fp32, &[-1, 1, 28, 30]).unwrap();
            let tensor = recipe.prepare(&picture, LIMIT).unwrap();
            assert_eq!(tensor.shape(), recipe.shape(), "{width} x {height}, {keys}");
        }
    }
}

#[test]
fn what_does_not_fit_the_model_is_said_when_it_is_loaded() {
    #[rustfmt::skip]
    let cases = [
        ("tensor = \"y\"", Datatype::Fp32, "tensor = \"y\": the model has no such input, it has `x`"),
        ("mean = [1, 2]", Datatype::Fp32, "mean: has 2 numbers for 3 channels"),
        ("std = 0", Datatype::Fp32, "scale, mean, std: (pixel * scale - mean) / std is not finite"),
        ("scale = 1e308\nmean = -1e308", Datatype::Fp32, "scale, mean, std: (pixel * scale - mean) / std is not finite"),
        ("scale = 1", Datatype::Uint8, "scale: has no effect, since tensor `x` is UINT8 and gets the bare pixels"),
        ("short_side = 7", Datatype::Fp32, "short_side: 7 is less than the size's 8"),
        ("short_side = 99999", Datatype::Fp32, "short_side: 99999 is over 16384"),
        ("short_side = 9\nfit = \"pad\"", Datatype::Fp32, "short_side: has an effect only with fit = \"crop\""),
        ("", Datatype::Int64, "tensor `x` is INT64, but a picture needs FP32, FP16, BF16, FP64 or UINT8"),
    ];
    for (keys, datatype, expected) in cases {
        assert_eq!(recipe(keys, datatype, &[-1, 3, 8, 9]).unwrap_err(), expected, "{keys}");
    }
    let input = image_input("");
    let spec = TensorSpec { name: "a".into(), datatype: Datatype::Fp32, shape: Vec::new(), any_rank: false };
    let error = Recipe::new(&input, &[spec.clone(), TensorSpec { name: "b".into(), ..spec }])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "set `tensor`: the model has `a`, `b`, and it is not clear which input is meant");
}
