//! Makes the JSON that `GET /openapi.json` answers of `src/api/openapi.yaml`, which is written for people, and puts the
//! version in.

use std::{env, error::Error, fs, path::PathBuf};
use yaml_serde::Value;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/api/openapi.yaml");
    let mut document: Value = yaml_serde::from_str(&fs::read_to_string("src/api/openapi.yaml")?)?;
    document.apply_merge()?;
    document["info"]["version"] = env::var("CARGO_PKG_VERSION")?.into();
    let target = PathBuf::from(env::var("OUT_DIR")?).join("openapi.json");
    Ok(fs::write(target, serde_json::to_string(&document)?)?)
}
