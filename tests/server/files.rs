//! Model files that change under a running server.

use crate::harness::Server;
use std::fs;

/// A field of a protobuf message that is a message or a string itself, of up to 127 bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128);
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()][..], content].concat()
}

/// A field that is a number.
fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

/// y = x + w, four numbers each, w in a file of its own; by the numbers of onnx.proto.
fn adds_what_is_in(file: &str) -> Vec<u8> {
    const FLOAT: u8 = 1;
    let entry =
        |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let external = number(14, 1);
    let weights =
        [number(1, 4), number(2, FLOAT), field(8, b"w"), entry("location", file), external].concat();
    let shape = field(2, &field(1, &number(1, 4)));
    let info = |name: &str| {
        field(1, name.as_bytes())
            .into_iter()
            .chain(field(2, &field(1, &[number(1, FLOAT), shape.clone()].concat())))
    };
    let node = [field(1, b"x"), field(1, b"w"), field(2, b"y"), field(4, b"Add")].concat();
    let input: Vec<u8> = info("x").collect();
    let output: Vec<u8> = info("y").collect();
    let graph =
        [field(1, &node), field(2, b"g"), field(5, &weights), field(11, &input), field(12, &output)].concat();
    let opset = field(8, &number(2, 13));
    let length = u8::try_from(graph.len() & 0x7f).unwrap() | 0x80;
    let graph = [&[7 << 3 | 2, length, u8::try_from(graph.len() >> 7).unwrap()][..], &graph].concat();
    [number(1, 8), graph, opset].concat()
}

#[test]
fn files_may_be_truncated_replaced_or_removed_under_a_running_server() {
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join("plus");
    fs::create_dir(&folder).unwrap();
    let weights: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(folder.join("model.onnx"), adds_what_is_in("weights.bin")).unwrap();
    fs::write(folder.join("weights.bin"), &weights).unwrap();
    let cache = models.path().join("cache");
    let config = format!("cache = '{}'", cache.display());
    let server = Server::with_arguments(&config, |command| {
        command.arg("--model").arg(format!("plus={}", folder.display()));
    });
    let ask = || {
        let answer = server.post("/predict/plus", "[10, 20, 30, 40]").ok();
        assert_eq!(answer["results"][0]["outputs"]["y"], serde_json::json!([11.0, 22.0, 33.0, 44.0]));
    };
    ask();
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0, "the copy has no name any more");
    for file in ["weights.bin", "model.onnx"] {
        fs::File::create(folder.join(file)).unwrap();
        ask();
        fs::write(folder.join(file), "rubbish".repeat(1000)).unwrap();
        ask();
    }
    fs::remove_dir_all(&folder).unwrap();
    ask();
}
