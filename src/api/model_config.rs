//! Triton's model configuration extension: how a model is served, in the words of Triton's `ModelConfig`
//! (`extension_model_configuration.md`, `model_config.proto`), as far as they are true of us.
//!
//! Where requests share runs, `max_batch_size` is what one run takes, and dimensions are those of one row; larger requests
//! run alone. Where they do not, it is 0, and dimensions are whole. Clients derive one from the other and from the metadata.

use super::{AppState, error::Error, v2::InPath};
use crate::{
    config::model::{Kind, Versions},
    serving::{Model, Served},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use predictd_protocol::inference::{spec::TensorSpec, tensor::Datatype};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// `GET /v2/models/{model}[/versions/{version}]/config`
pub(super) async fn config(State(app): AppState, target: InPath) -> Result<Response, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    Ok(Json(of(&model, app.pool.workers())).into_response())
}

fn of(model: &Served, workers: usize) -> Value {
    let Model { batching, settings, .. } = &**model;
    let signature = model.engine.signature();
    let row = |spec: &TensorSpec| dims(spec, batching.joins);
    let input = |spec: &TensorSpec| {
        json!({
            "name": spec.name,
            "data_type": data_type(spec.datatype),
            "format": "FORMAT_NONE",
            "dims": row(spec),
            "is_shape_tensor": false,
            "allow_ragged_batch": false,
            "optional": false,
        })
    };
    let output = |spec: &TensorSpec| {
        json!({
            "name": spec.name,
            "data_type": data_type(spec.datatype),
            "dims": row(spec),
            "label_filename": labels(model, &spec.name),
            "is_shape_tensor": false,
        })
    };
    let (platform, backend) = engine(model);
    let mut config = json!({
        "name": model.name.as_str(),
        "platform": platform,
        "backend": backend,
        "version_policy": match &settings.versions {
            Versions::Latest => json!({ "latest": { "num_versions": 1 } }),
            Versions::All => json!({ "all": {} }),
            Versions::These(versions) => json!({ "specific": { "versions": versions } }),
        },
        "max_batch_size": if batching.joins { batching.max_rows } else { 0 },
        "input": signature.inputs.iter().map(input).collect::<Vec<_>>(),
        "output": signature.outputs.iter().map(output).collect::<Vec<_>>(),
        "batch_input": [],
        "batch_output": [],
        // One copy of the model, which all workers share.
        "instance_group": [{
            "name": model.name.as_str(), "kind": "KIND_CPU", "count": workers, "gpus": [], "profile": [],
            "passive": false, "host_policy": "",
        }],
        "parameters": parameters(model),
        "model_warmup": warm_up(model),
        "model_transaction_policy": { "decoupled": false },
    });
    if batching.joins {
        config["dynamic_batching"] = json!({
            "preferred_batch_size": [],
            "max_queue_delay_microseconds": micros(batching.max_delay),
            "preserve_ordering": false,
            "priority_levels": 0,
            "default_priority_level": 0,
            // Ours is a time for the whole request, and a queue of so many rows.
            "default_queue_policy": {
                "timeout_action": "REJECT",
                "default_timeout_microseconds": micros(model.deadline),
                "allow_timeout_override": true,
                "max_queue_size": batching.queue,
            },
            "priority_queue_policy": {},
        });
    }
    config
}

/// What runs a model, as Triton's platform and backend.
pub(super) fn engine(model: &Model) -> (&'static str, &'static str) {
    match model.settings.kind {
        Kind::Onnx => ("onnxruntime_onnx", "onnxruntime"),
        Kind::Fake => ("fake", "fake"),
    }
}

fn data_type(datatype: Datatype) -> String {
    match datatype {
        Datatype::Bytes => "TYPE_STRING".into(),
        number => format!("TYPE_{number}"),
    }
}

/// The dimensions of a tensor, or of a row of it; -1 may be of any size.
pub(super) fn dims(spec: &TensorSpec, of_a_row: bool) -> Vec<i64> {
    let dims = spec.shape.iter().skip(usize::from(of_a_row));
    dims.map(|dim| dim.map_or(-1, |dim| i64::try_from(dim).unwrap_or(i64::MAX))).collect()
}

/// The file of an output's labels, without its folder: where that is, is nobody's business.
fn labels(model: &Model, output: &str) -> String {
    let classified = model.classes.as_ref().filter(|recipe| recipe.tensor() == output && recipe.has_labels());
    let Some((_, settings)) = classified.zip(model.settings.output.as_ref()) else { return String::new() };
    let named = settings.labels.as_ref().and_then(|file| file.file_name());
    named.map_or_else(|| "labels.txt".into(), |name| name.to_string_lossy().into_owned())
}

/// Those of Triton's ONNX Runtime backend, by its names, and ours.
fn parameters(model: &Model) -> Value {
    let session = &model.settings.session;
    let text = |text: String| json!({ "string_value": text });
    let mut parameters = Map::new();
    if let Some(threads) = session.threads {
        parameters.insert("intra_op_thread_count".into(), text(threads.to_string()));
    }
    parameters.insert("enable_mem_arena".into(), text(u8::from(session.memory_arena).to_string()));
    parameters.insert("deadline".into(), text(model.settings.deadline.to_string()));
    parameters.into()
}

/// The runs on zeros that there were before the model was served: none where nothing but a request tells the shapes.
fn warm_up(model: &Model) -> Vec<Value> {
    let signature = model.engine.signature();
    let mut sizes = model.settings.warmup.runs(model.settings.batch.max_rows);
    if !signature.has_free_rows() {
        sizes.truncate(1);
    }
    let run = |rows: usize| {
        let zeros = |(spec, (datatype, shape)): (&TensorSpec, (Datatype, Vec<usize>))| {
            let dims = &shape[usize::from(model.batching.joins)..];
            let zeros = json!({ "data_type": data_type(datatype), "dims": dims, "zero_data": true });
            (spec.name.clone(), zeros)
        };
        let inputs = signature.inputs.iter().zip(signature.zeros(rows)?).map(zeros);
        Some(json!({
            "name": format!("{rows} rows of zeros"),
            "batch_size": if model.batching.joins { rows } else { 0 },
            "inputs": inputs.collect::<Map<_, _>>(),
            "count": 1,
        }))
    };
    sizes.into_iter().map_while(run).collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
