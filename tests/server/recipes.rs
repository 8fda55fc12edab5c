//! Pictures of every kind into the model, and its scores into names.

use crate::harness::{Reply, Server, predictd, read, source};
use image::{DynamicImage, ImageFormat};
use serde_json::{Value, json};
use std::{fs, io::Cursor, path::Path};

#[track_caller]
fn label(answer: &Value) -> &str {
    answer["results"][0]["classes"][0]["label"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

fn seven() -> DynamicImage {
    image::load_from_memory(&read("models/digits/samples/7.png")).unwrap()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The tensor that the recipe makes of the sample.
fn pixels() -> Vec<f32> {
    seven().into_luma8().pixels().map(|pixel| f32::from(pixel.0[0]) / 255.0).collect()
}

#[test]
fn one_picture_is_one_answer_whichever_way_it_comes() {
    let server = Server::start();
    let picture = read("models/digits/samples/7.png");
    let ask = |content_type: &str, body: &[u8]| {
        let headers = [("Content-Type", content_type)];
        let headers = if content_type.is_empty() { &[][..] } else { &headers };
        server.ask("POST", "/predict/digits?top_k=10", headers, body)
    };
    let expected = ask("image/png", &picture);
    assert_eq!(label(&expected.ok()), "7");
    let form =
        [b"--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n", &picture[..], b"\r\n--x--"]
            .concat();
    let pixels = pixels();
    let raw: Vec<u8> = pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
    let rows: Vec<&[f32]> = pixels.chunks(28).collect();
    let nested = json!([[rows]]);
    for (content_type, body) in [
        ("", &picture[..]),
        ("application/x-www-form-urlencoded", &picture),
        // Whatever kind of image it is said to be.
        ("image/jpeg", &picture),
        ("IMAGE/PNG; foo=bar", &picture),
        ("multipart/form-data; boundary=x", &form),
        ("application/octet-stream", &raw),
        ("", &raw),
        ("application/json", nested.to_string().as_bytes()),
        ("", format!("\n {nested}").as_bytes()),
        ("application/json", json!({ "inputs": { "image": nested } }).to_string().as_bytes()),
    ] {
        let reply = ask(content_type, body);
        let said = String::from_utf8_lossy(&reply.body);
        assert!(reply.body == expected.body, "{content_type} {}: {said}", body.len());
    }
    for lossless in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
        assert!(
            ask("", &encoded(&seven().into_rgb8().into(), lossless)).body == expected.body,
            "{lossless:?}"
        );
    }
}

#[test]
fn pixels_of_every_kind_are_pixels() {
    let server = Server::start();
    let seven = seven();
    let images: [(&str, DynamicImage); 8] = [
        ("grey", seven.to_luma8().into()),
        ("grey and alpha", seven.to_luma_alpha8().into()),
        ("colours", seven.to_rgb8().into()),
        ("colours and alpha", seven.to_rgba8().into()),
        ("16 bits of grey", seven.to_luma16().into()),
        ("16 bits of grey and alpha", seven.to_luma_alpha16().into()),
        ("16 bits of colours", seven.to_rgb16().into()),
        ("16 bits of colours and alpha", seven.to_rgba16().into()),
    ];
    let expected = server.post("/predict/digits", encoded(&seven, ImageFormat::Png)).body;
    for (name, image) in &images {
        assert!(server.post("/predict/digits", encoded(image, ImageFormat::Png)).body == expected, "{name}");
    }
    for image in [&images[0].1, &images[2].1] {
        for format in [ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif] {
            let image = if format == ImageFormat::Gif { &images[3].1 } else { image };
            let answer = server.post("/predict/digits", encoded(image, format)).ok();
            assert_eq!(label(&answer), "7", "{format:?} {:?}: {answer}", image.color());
        }
    }
    // As small as it can be read, and as large as a photograph.
    for side in [14, 2000] {
        let image = seven.resize_exact(side, side, image::imageops::FilterType::Triangle);
        assert_eq!(
            label(&server.post("/predict/digits", encoded(&image, ImageFormat::Png)).ok()),
            "7",
            "{side}"
        );
    }
}

/// A JPEG of the picture as a camera held otherwise would have stored it.
fn stored(image: &DynamicImage, orientation: u8) -> Vec<u8> {
    let stored = match orientation {
        1 => image.clone(),
        2 => image.fliph(),
        3 => image.rotate180(),
        4 => image.flipv(),
        5 => image.rotate90().fliph(),
        6 => image.rotate270(),
        7 => image.rotate270().fliph(),
        _ => image.rotate90(),
    };
    let jpeg = encoded(&stored, ImageFormat::Jpeg);
    let exif = [
        &b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..],
        &[orientation, 0, 0, 0],
        &[0; 4],
    ]
    .concat();
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

#[test]
fn a_picture_is_upright_however_the_camera_was_held() {
    let server = Server::start();
    for orientation in 1..=8 {
        let picture = stored(&seven(), orientation);
        let answer = server.post("/predict/digits", &picture).ok();
        assert_eq!(label(&answer), "7", "orientation {orientation}: {answer}");
        // Who ignores it sees something else, but for the picture that is upright already.
        let bare = encoded(&image::load_from_memory(&picture).unwrap(), ImageFormat::Png);
        let ignored = server.post("/predict/digits", &bare).ok();
        assert!(orientation == 1 || answer != ignored, "orientation {orientation}: {ignored}");
    }
}

#[test]
fn what_is_no_picture_or_too_large_a_one_is_refused_before_it_takes_memory() {
    let server = Server::start();
    let ask = |name: &str, content_type: &str| -> Reply {
        let headers = [("Content-Type", content_type)];
        server.ask("POST", "/predict/digits", &headers, &read(&format!("tests/data/images/{name}")))
    };
    server.post("/predict/digits", read("models/digits/samples/7.png")).ok();
    let before = server.peak();
    for (name, content_type, says) in [
        ("bomb.bmp", "image/bmp", "60000 x 60000 pixels is over the limit of 50000000"),
        ("bomb.gif", "image/gif", "60000 x 60000 pixels is over the limit of 50000000"),
        ("bomb.jpg", "image/jpeg", "60000 x 60000 pixels is over the limit of 50000000"),
        ("bomb.png", "image/png", "60000 x 60000 pixels is over the limit of 50000000"),
        ("bomb.webp", "image/webp", "the WebP has no pixels"),
        ("over_limit.png", "image/png", "7072 x 7072 pixels is over the limit of 50000000"),
        ("truncated.png", "image/png", "the PNG is truncated"),
        ("truncated.jpg", "image/jpeg", "the JPEG is truncated"),
        ("only_magic.png", "image/png", "the PNG is truncated"),
        ("not_an_image.png", "image/png", "this is no JPEG, PNG, WebP, GIF or BMP picture"),
        ("empty.png", "image/png", "this is no JPEG, PNG, WebP, GIF or BMP picture"),
    ] {
        assert_eq!(ask(name, content_type).error(422), format!("model 'digits': {says}"), "{name}");
    }
    let after = server.peak();
    assert!(after < before + (16 << 20), "{after} bytes, {before} before");
    ask("not_an_image.png", "").error(415);
    ask("empty.png", "").error(415);
    let small = Server::with("[limits]\npixels = 783");
    let error = small.post("/predict/digits", read("models/digits/samples/7.png")).error(422);
    assert_eq!(error, "model 'digits': 28 x 28 pixels is over the limit of 783");
}

/// A copy of the flowers' model in `folder`, with that file of labels.
fn flowers(folder: &Path, labels: Option<(&str, &str)>) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("model.onnx"), read("models/iris/model.onnx")).unwrap();
    let named = match labels {
        Some((name, text)) => {
            fs::write(folder.join(name), text).unwrap();
            // The one that needs not be named.
            if name == "labels.txt" { String::new() } else { format!("labels = '{name}'\n") }
        }
        None => String::new(),
    };
    let settings = format!("[output]\nkind = 'classification'\ntensor = 'probabilities'\n{named}");
    fs::write(folder.join("model.toml"), settings).unwrap();
}

#[test]
fn labels_are_lines_or_json_or_else_the_index() {
    let models = tempfile::tempdir().unwrap();
    let cases = [
        ("lines", Some(("labels.txt", "sword\nblue\nvirginian\n"))),
        ("other_lines", Some(("flowers.names", "sword\r\nblue\r\nvirginian"))),
        ("list", Some(("labels.json", r#"["sword", "blue", "virginian"]"#))),
        ("by_index", Some(("labels.json", r#"{"2": "virginian", "0": "sword", "1": "blue"}"#))),
        ("by_name", Some(("labels.json", r#"{"virginian": 2, "sword": 0, "blue": 1}"#))),
        ("none", None),
    ];
    for (name, labels) in cases {
        flowers(&models.path().join(name), labels);
    }
    let server = Server::with_arguments("", |command| {
        for (name, _) in cases {
            command.arg("--model").arg(format!("{name}={}", models.path().join(name).display()));
        }
    });
    for (name, labels) in cases {
        let answer = server.post(&format!("/predict/{name}?top_k=99"), "[[6.7, 3.0, 5.2, 2.3]]").ok();
        let classes = answer["results"][0]["classes"].as_array().unwrap();
        assert_eq!(classes.len(), 3, "{name}: `top_k` is no more than there are");
        for class in classes {
            let index = class["index"].as_u64().unwrap();
            let expected = match labels {
                None => index.to_string(),
                Some(_) => ["sword", "blue", "virginian"][index as usize].to_owned(),
            };
            assert_eq!(class["label"], expected, "{name}");
        }
        assert_eq!(classes[0]["index"], 2, "{name}");
    }
}

#[test]
fn labels_that_do_not_fit_are_said_at_the_start() {
    let models = tempfile::tempdir().unwrap();
    for (labels, says) in [
        (("labels.txt", "sword\nblue\n"), "there are 2 labels, but tensor `probabilities`"),
        (("labels.json", "[1, 2, 3]"), "not a list of names"),
        (("labels.json", r#"{"0": "sword", "2": "blue"}"#), "class 1 has no name, or two"),
    ] {
        flowers(&models.path().join("flowers"), Some(labels));
        let output = predictd()
            .args(["check", "--models"])
            .arg(models.path())
            .current_dir(source("tests"))
            .output()
            .unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(says), "{says}: {said}");
        fs::remove_dir_all(models.path().join("flowers")).unwrap();
    }
}
