//! The Open Inference Protocol's calls for one model.

use super::{AppState, Call, Json, SMALL, error::Error, inputs_of, request_id, run};
use crate::{
    pool::{Inputs, Rejected},
    serving::Model,
};
use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::Tensor,
    v2::{self, InferRequest, InferResponse, Output, Printed},
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
    if let Some(reason) = model.lane.closed() {
        return Err(Error::Busy(model.name.clone(), Rejected::Closed(reason)));
    }
    Ok(axum::Json(json!({ "name": model.name.as_str(), "ready": true })).into_response())
}

/// Bytes of JSON before those of tensors.
const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// `POST /v2/models/{model}[/versions/{version}]/infer`
pub(super) async fn infer(
    State(app): AppState,
    target: InPath,
    headers: HeaderMap,
    extensions: Extensions,
    body: Bytes,
) -> Result<Response, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    let header_length = headers.get(&HEADER_LENGTH).map(length).transpose()?;
    // Known when the body has been read, which may be here or on a worker, and needed for the answer.
    let wanted: Arc<OnceLock<Wanted>> = Arc::default();
    let read = {
        let (model, wanted) = (Arc::clone(&model.model), Arc::clone(&wanted));
        move |body: &Bytes| {
            let mut request = v2::parse(body, header_length, &model.engine.signature().inputs)
                .map_err(|error| Error::BadRequest(error.to_string()))?;
            let names: Vec<String> = request.outputs.iter().map(|output| output.name.clone()).collect();
            let outputs = model.select(&names)?;
            let inputs = model.arrange(std::mem::take(&mut request.inputs))?;
            let _ = wanted.set(Wanted { request, outputs });
            Ok(inputs)
        }
    };
    let inputs = match header_length {
        // Tensors that are bytes are only looked at.
        Some(json) if json <= SMALL => Inputs::Ready(read(&body)?),
        _ => inputs_of(&body, read)?,
    };
    let asked = wanted.get().and_then(|wanted| wanted.request.timeout);
    let deadline = asked.map_or(model.deadline, |asked| asked.min(model.deadline));
    let print = {
        let model = Arc::clone(&model.model);
        move |tensors: Vec<Tensor>| {
            let wanted = wanted.get().expect("the request was read before it ran");
            Ok(print(&model, wanted, &tensors))
        }
    };
    let call = Call { request: request_id(&extensions), deadline };
    let (printed, work) = run(&model, call, inputs, print).await?;
    let Some(header_length) = printed.header_length() else {
        return Ok(Json(printed.into_body(), work).into_response());
    };
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (HEADER_LENGTH, header_length.into()),
    ];
    let mut response = (head, printed.into_body()).into_response();
    response.extensions_mut().insert(work);
    Ok(response)
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

fn print(model: &Model, wanted: &Wanted, tensors: &[Tensor]) -> Printed {
    let specs = &model.engine.signature().outputs;
    let output = |&at: &usize| {
        let name = &*specs[at].name;
        Output { name, tensor: &tensors[at], binary: wanted.request.is_binary(name) }
    };
    v2::print(&InferResponse {
        model_name: model.name.as_str(),
        model_version: &model.version.to_string(),
        id: wanted.request.id.as_deref(),
        outputs: wanted.outputs.iter().map(output).collect(),
    })
}
