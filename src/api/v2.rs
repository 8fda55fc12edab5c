//! The Open Inference Protocol's calls for one model.

use super::{
    AppState,
    ask::{Answer, Asked, Call, HEADER_LENGTH, ask},
    error::Error,
    request_id,
};
use crate::{pool::Rejected, serving::Model};
use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue};
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::Tensor,
    v2::{self, InferRequest, InferResponse, Output},
};
use serde::Deserialize;
use serde_json::{Value, json};

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
    if let Some(reason) = model.lane.closed() {
        return Err(Error::Busy(model.name.clone(), Rejected::Closed(reason)));
    }
    Ok(axum::Json(json!({ "name": model.name.as_str(), "ready": true })).into_response())
}

/// `POST /v2/models/{model}[/versions/{version}]/infer`
pub(super) async fn infer(
    State(app): AppState,
    target: InPath,
    headers: HeaderMap,
    extensions: Extensions,
    body: Bytes,
) -> Result<Answer, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    let header_length = headers.get(&HEADER_LENGTH).map(length).transpose()?;
    // Tensors that are bytes are only looked at.
    let effort = header_length.unwrap_or(body.len());
    let read = move |model: &Model, body: &Bytes| {
        let mut request = v2::parse(body, header_length, &model.engine.signature().inputs)
            .map_err(|error| Error::BadRequest(error.to_string()))?;
        let names: Vec<String> = request.outputs.iter().map(|output| output.name.clone()).collect();
        let outputs = model.select(&names)?;
        let inputs = model.arrange(std::mem::take(&mut request.inputs))?;
        Ok(Asked { inputs, timeout: request.timeout, wanted: Wanted { request, outputs } })
    };
    let call = Call { request: request_id(&extensions), deadline: model.deadline };
    ask(&model, call, body, effort, read, print).await
}

fn length(value: &HeaderValue) -> Result<usize, Error> {
    let text = String::from_utf8_lossy(value.as_bytes());
    let bad = || Error::BadRequest(format!("{HEADER_LENGTH} must be a number of bytes, got '{text}'"));
    text.parse().map_err(|_| bad())
}

/// What a request says of its answer.
struct Wanted {
    /// But for its inputs, which the model has.
    request: InferRequest,
    /// The outputs, by their places in the signature.
    outputs: Vec<usize>,
}

fn print(model: &Model, wanted: &Wanted, tensors: &[Tensor]) -> Result<Answer, Error> {
    let specs = &model.engine.signature().outputs;
    let output = |&at: &usize| {
        let name = &*specs[at].name;
        Output { name, tensor: &tensors[at], binary: wanted.request.is_binary(name) }
    };
    let printed = v2::print(&InferResponse {
        model_name: model.name.as_str(),
        model_version: &model.version.to_string(),
        id: wanted.request.id.as_deref(),
        outputs: wanted.outputs.iter().map(output).collect(),
    });
    let header_length = printed.header_length();
    Ok(Answer::binary(printed.into_body(), header_length))
}
