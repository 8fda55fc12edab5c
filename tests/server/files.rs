//! Model files that change under a running server.

use crate::{harness::Server, tiny::adds_what_is_in};
use std::fs;

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
        let answer = server.post("/predict/plus", "[[10, 20, 30, 40]]").ok();
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
