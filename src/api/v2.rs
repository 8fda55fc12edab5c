//! The Open Inference Protocol's calls for one model.

use super::{AppState, Call, Json, error::Error, inputs_of, request_id, run};
use crate::serving::Model;
use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::Extensions;
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::Tensor,
    v2::{self, InferResponse, Output},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// What the path names.
#[derive(Deserialize)]
pub(super) struct Target {
    model: String,
    version: Option<String>,
}

/// It, or why it cannot be read.
type InPath = Result<Path<Target>, PathRejection>;

/// `GET /v2/models/{model}[/versions/{version}]`
pub(super) async fn metadata(State(app): AppState, target: InPath) -> Result<Response, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    let versions: Vec<String> =
        app.models.versions(&target.model)?.iter().map(|model| model.version.to_string()).collect();
    let signature = model.engine.signature();
    let body = json!({
        "name": model.name.as_str(),
        "versions": versions,
        "platform": "onnxruntime_onnx",
        "inputs": signature.inputs.iter().map(spec).collect::<Vec<_>>(),
        "outputs": signature.outputs.iter().map(spec).collect::<Vec<_>>(),
    });
    Ok(axum::Json(body).into_response())
}

fn spec(spec: &TensorSpec) -> Value {
    let shape: Vec<Value> =
        spec.shape.iter().map(|dim| dim.map_or_else(|| json!(-1), |dim| json!(dim))).collect();
    json!({ "name": spec.name, "datatype": spec.datatype.name(), "shape": shape })
}

/// `GET /v2/models/{model}[/versions/{version}]/ready`
pub(super) async fn ready(State(app): AppState, target: InPath) -> Result<Response, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    Ok(axum::Json(json!({ "name": model.name.as_str(), "ready": true })).into_response())
}

/// `POST /v2/models/{model}[/versions/{version}]/infer`
pub(super) async fn infer(
    State(app): AppState,
    target: InPath,
    extensions: Extensions,
    body: Bytes,
) -> Result<Json, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    let call = Call { request: request_id(&extensions), deadline: model.deadline };
    // Known when the body has been read, which may be here or on a worker, and needed for the answer.
    let wanted: Arc<OnceLock<Wanted>> = Arc::default();
    let read = {
        let (model, wanted) = (Arc::clone(&model.model), Arc::clone(&wanted));
        move |body: &Bytes| {
            let request = v2::parse(body).map_err(|error| Error::BadRequest(error.to_string()))?;
            let outputs = model.select(&request.outputs)?;
            let _ = wanted.set(Wanted { id: request.id, outputs });
            Ok(model.arrange(request.inputs)?)
        }
    };
    let inputs = inputs_of(&body, read)?;
    let print = {
        let model = Arc::clone(&model.model);
        move |tensors: Vec<Tensor>| {
            let wanted = wanted.get().expect("the request was read before it ran");
            Ok(print(&model, wanted, &tensors))
        }
    };
    let (body, work) = run(model, call, inputs, print).await?;
    Ok(Json(body, work))
}

/// What a request says of its answer.
struct Wanted {
    id: Option<String>,
    /// The outputs, by their places in the signature.
    outputs: Vec<usize>,
}

fn print(model: &Model, wanted: &Wanted, tensors: &[Tensor]) -> Vec<u8> {
    let specs = &model.engine.signature().outputs;
    let outputs =
        wanted.outputs.iter().map(|&at| Output { name: &specs[at].name, tensor: &tensors[at] }).collect();
    v2::print(&InferResponse {
        model_name: model.name.as_str(),
        model_version: &model.version.to_string(),
        id: wanted.id.as_deref(),
        outputs,
    })
}
