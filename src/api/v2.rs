//! The Open Inference Protocol's calls for one model.

use super::{AppState, Json, error::Error};
use crate::serving::Model;
use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::Tensor,
    v2::{self, InferResponse, Output},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

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
pub(super) async fn infer(State(app): AppState, target: InPath, body: Bytes) -> Result<Json, Error> {
    let Path(target) = target?;
    let model = Arc::clone(app.models.find(&target.model, target.version.as_deref())?);
    let deadline = model.deadline;
    let work = {
        let model = Arc::clone(&model);
        move |interrupt: &_| {
            let request = v2::parse(&body, None, &model.engine.signature().inputs)
                .map_err(|error| Error::BadRequest(error.to_string()))?;
            let wanted: Vec<String> = request.outputs.iter().map(|output| output.name.clone()).collect();
            let selected = model.select(&wanted)?;
            let tensors =
                model.infer(request.inputs, interrupt).map_err(|error| Error::infer(&model.name, error))?;
            Ok(print(&model, request.id.as_deref(), &selected, &tensors))
        }
    };
    let (body, work) = app.work(&model, deadline, work).await?;
    Ok(Json(body, work))
}

fn print(model: &Model, id: Option<&str>, selected: &[usize], tensors: &[Tensor]) -> Vec<u8> {
    let specs = &model.engine.signature().outputs;
    let output = |&at: &usize| Output { name: &specs[at].name, tensor: &tensors[at], binary: false };
    let outputs = selected.iter().map(output).collect();
    let response = InferResponse {
        model_name: model.name.as_str(),
        model_version: &model.version.to_string(),
        id,
        outputs,
    };
    v2::print(&response).into_body()
}
