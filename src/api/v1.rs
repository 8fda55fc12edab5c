//! TensorFlow Serving's REST interface, and KServe's first version, which has the same paths.
//!
//! The verb is part of a path's last segment, `iris:predict`. Where the two give different bodies, ours is both.

use super::{
    AppState,
    ask::{Answer, Asked, Call, ask},
    error::Error,
};
use crate::{
    pool::Rejected,
    serving::{Model, Served},
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Uri, header};
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::Tensor,
    v1::{self, Format},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What the path names, with the verb behind whichever is last.
#[derive(Deserialize)]
pub(super) struct Target {
    model: String,
    version: Option<String>,
}

/// It, or why it cannot be read.
type InPath = Result<Path<Target>, PathRejection>;

impl Target {
    /// Takes the verb off.
    fn verb(&mut self) -> Option<String> {
        let last = self.version.as_mut().unwrap_or(&mut self.model);
        let colon = last.find(':')?;
        let verb = last[colon + 1..].to_owned();
        last.truncate(colon);
        Some(verb)
    }
}

/// `GET /v1/models`, which only KServe has.
pub(super) async fn list(State(app): AppState) -> Response {
    let mut names: Vec<String> = app.models.all().iter().map(|model| model.name.to_string()).collect();
    names.dedup();
    Json(json!({ "models": names })).into_response()
}

/// `GET /v1/models/{model}[/versions/{version}]`, and with `:predict` behind it `POST`.
pub(super) async fn model(
    State(app): AppState,
    target: InPath,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    body: Bytes,
) -> Result<Response, Error> {
    let Path(mut target) = target?;
    let verb = target.verb();
    let version = target.version.as_deref();
    let allow = match (verb.as_deref(), &method) {
        (None, &Method::GET | &Method::HEAD) => {
            let model = app.models.find(&target.model, version)?;
            let versions = match version {
                None => app.models.versions(&target.model)?,
                Some(_) => vec![Arc::clone(&model)],
            };
            return status(&model, &versions);
        }
        (Some("predict"), &Method::POST) => {
            let model = app.models.find(&target.model, version)?;
            let call = Call::of(&headers, &extensions, model.deadline)?;
            let effort = body.len();
            return Ok(ask(&model, call, body, effort, read, print).await?.into_response());
        }
        (None, _) => "GET,HEAD",
        (Some("predict"), _) => "POST",
        (Some(verb), _) => {
            let model = app.models.find(&target.model, version)?;
            return Err(Error::NoVerb(model.name.clone(), verb.to_owned()));
        }
    };
    let error = Error::Method { method, path: uri.path().to_owned() };
    Ok(([(header::ALLOW, allow)], error).into_response())
}

/// KServe's `name` and `ready` beside TensorFlow Serving's list, in which a closed version says why.
fn status(model: &Served, versions: &[Arc<Served>]) -> Result<Response, Error> {
    if let Some(closed) = model.lane.closed() {
        return Err(Error::Busy(model.name.clone(), Rejected::Closed(closed.reason)));
    }
    let status = |model: &Arc<Served>| {
        let (state, code, message) = match model.lane.closed() {
            None => ("AVAILABLE", "OK", String::new()),
            Some(closed) => ("UNLOADING", "UNAVAILABLE", closed.reason),
        };
        json!({
            "version": model.version.to_string(),
            "state": state,
            "status": { "error_code": code, "error_message": message },
        })
    };
    // The highest first, as TensorFlow Serving has them.
    let versions: Vec<Value> = versions.iter().rev().map(status).collect();
    let body = json!({ "name": model.name.as_str(), "ready": true, "model_version_status": versions });
    Ok(Json(body).into_response())
}

fn read(model: &Model, body: &Bytes) -> Result<Asked<Format>, Error> {
    let request = v1::parse(body, &model.engine.signature().inputs).map_err(|error| match error {
        v1::Error::Unknown(name) => model.unknown_input(&name).into(),
        error => Error::bad_request(model, error),
    })?;
    Ok(Asked { inputs: model.arrange(request.inputs)?, timeout: None, wanted: request.format })
}

fn print(model: &Model, format: &Format, outputs: &[Tensor]) -> Result<Answer, Error> {
    let specs = &model.engine.signature().outputs;
    let outputs: Vec<_> = specs.iter().map(|spec| &*spec.name).zip(outputs).collect();
    Ok(Answer::json(v1::print(*format, &outputs).map_err(|error| Error::bad_request(model, error))?))
}

/// `GET /v1/models/{model}[/versions/{version}]/metadata`: the one signature of an ONNX model, in the words of TensorFlow's.
pub(super) async fn metadata(State(app): AppState, target: InPath) -> Result<Response, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    let signature = model.engine.signature();
    let definition = json!({
        "inputs": tensors(&signature.inputs),
        "outputs": tensors(&signature.outputs),
        "method_name": "tensorflow/serving/predict",
    });
    let body = json!({
        "model_spec": {
            "name": model.name.as_str(), "signature_name": "", "version": model.version.to_string(),
        },
        "metadata": { "signature_def": { "signature_def": { "serving_default": definition } } },
    });
    Ok(Json(body).into_response())
}

fn tensors(specs: &[TensorSpec]) -> Map<String, Value> {
    let tensor = |spec: &TensorSpec| {
        let dim = |dim: &Option<usize>| {
            let size = dim.map_or("-1".to_owned(), |dim| dim.to_string());
            json!({ "size": size, "name": "" })
        };
        let dims: Vec<Value> = spec.shape.iter().filter(|_| !spec.any_rank).map(dim).collect();
        let described = json!({
            "name": spec.name,
            "dtype": v1::dtype(spec.datatype),
            "tensor_shape": { "dim": dims, "unknown_rank": spec.any_rank },
        });
        (spec.name.clone(), described)
    };
    specs.iter().map(tensor).collect()
}

/// `/v1/models/{model}/labels/{label}`: names for versions, of which there are none.
pub(super) async fn label(
    State(app): AppState,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Error> {
    let Path((name, label)) = path?;
    let model = app.models.find(&name, None)?;
    let label = label.split(':').next().unwrap_or_default().to_owned();
    Err(Error::NoLabel(model.name.clone(), label))
}
