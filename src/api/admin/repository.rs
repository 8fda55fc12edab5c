//! Models come and go by request: Triton's model repository extension (`extension_model_repository.md`), and a reload of
//! everything as by SIGHUP.
//!
//! An answer says that it is done, or why not. Whoever leaves before only does not hear of it.

use crate::{
    api::{App, AppState, Error, ask::SMALL},
    serving::{Answer, Operation, Outcome, Refusal, Standing, State as ModelState, What},
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::StatusCode;
use predictd_protocol::excerpt::excerpt;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// How long an operation is waited for: longer than a large model takes, and than those that wait before it.
const PATIENCE: Duration = Duration::from_secs(600);

/// What an index may be asked for.
#[derive(Default, Deserialize)]
struct IndexRequest {
    /// Only what answers.
    #[serde(default)]
    ready: bool,
}

/// `POST /v2/repository/index`
pub(super) async fn index(State(app): AppState, body: Bytes) -> Result<Response, Error> {
    let IndexRequest { ready } = parse(&body)?;
    let all = app.models.standings().into_iter();
    let wanted = all.filter(|standing| !ready || standing.state == ModelState::Ready);
    Ok(Json(wanted.map(|standing| entry(&standing)).collect::<Vec<_>>()).into_response())
}

fn entry(standing: &Standing) -> Value {
    let state = match standing.state {
        ModelState::Loading => "LOADING",
        ModelState::Ready => "READY",
        ModelState::Unloading => "UNLOADING",
        ModelState::Closed | ModelState::Unavailable => "UNAVAILABLE",
    };
    let mut entry = json!({ "name": standing.name, "state": state });
    if let Some(version) = standing.version {
        entry["version"] = version.to_string().into();
    }
    if let Some(reason) = &standing.reason {
        entry["reason"] = reason.as_str().into();
    }
    entry
}

/// What may come with a load or an unload.
#[derive(Default, Deserialize)]
struct Request {
    #[serde(default)]
    parameters: Map<String, Value>,
}

type InPath = Result<Path<String>, PathRejection>;

/// `POST /v2/repository/models/{model}/load`
pub(super) async fn load(State(app): AppState, name: InPath, body: Bytes) -> Result<Response, Error> {
    let Path(name) = name?;
    let Request { parameters } = parse(&body)?;
    if let Some(key) = parameters.keys().find(|key| *key == "config" || key.starts_with("file:")) {
        return Err(Error::BadRequest(format!(
            "parameters.{} is not taken here: a model is what its folder has; put it there and load it then",
            excerpt(key)
        )));
    }
    one(&done(app, Operation::Load(name)).await?)
}

/// `POST /v2/repository/models/{model}/unload`. A model depends on no other, so that `unload_dependents` changes nothing.
pub(super) async fn unload(State(app): AppState, name: InPath, body: Bytes) -> Result<Response, Error> {
    let Path(name) = name?;
    let Request { .. } = parse(&body)?;
    one(&done(app, Operation::Unload(name)).await?)
}

/// Nothing but 200, as Triton has it, or why not.
fn one(answer: &Answer) -> Result<Response, Error> {
    let report = answer.as_ref().as_ref().map_err(|refusal| Error::Refused(refusal.clone()))?;
    match report.failures().next() {
        None => Ok(StatusCode::OK.into_response()),
        Some(outcome) => Err(Error::NotLoaded(outcome.to_string())),
    }
}

/// `POST /reload`: what SIGHUP does, with an answer.
pub(super) async fn reload(State(app): AppState) -> Result<Response, Error> {
    let answer = timeout(PATIENCE, app.reload()).await.map_err(|_| late(&Operation::Reload))?;
    let answer = answer.map_err(Error::Refused)?;
    let report = answer.as_ref().as_ref().map_err(|refusal| Error::Refused(refusal.clone()))?;
    let mut body = json!({
        "models": report.outcomes.iter().map(outcome).collect::<Vec<_>>(),
        "notes": report.notes,
    });
    let status = match report.failures().next() {
        None => StatusCode::OK,
        Some(_) => {
            body["error"] = report.to_string().into();
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    Ok((status, Json(body)).into_response())
}

fn outcome(outcome: &Outcome) -> Value {
    let strings = |versions: &[u64]| versions.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (word, versions) = match &outcome.what {
        What::Loaded(versions) => ("loaded", strings(versions)),
        What::Unchanged(versions) => ("unchanged", strings(versions)),
        What::Failed { serving, .. } => ("failed", strings(serving)),
        What::Removed => ("removed", Vec::new()),
        What::Unloaded => ("unloaded", Vec::new()),
    };
    let took = outcome.took.as_millis() as u64;
    let mut body = json!({ "name": outcome.name, "outcome": word, "versions": versions, "took_ms": took });
    if let What::Failed { version, reason, .. } = &outcome.what {
        body["reason"] = reason.as_str().into();
        body["failed_version"] = version.map(|version| version.to_string()).into();
    }
    body
}

/// Has it done, and waits for that.
async fn done(app: App, operation: Operation) -> Result<Answer, Error> {
    let pending = app.loader.ask(operation.clone()).map_err(Error::Refused)?;
    timeout(PATIENCE, pending).await.map_err(|_| late(&operation))
}

fn late(operation: &Operation) -> Error {
    Error::StillLoading { operation: operation.to_string(), waited: PATIENCE }
}

/// A body of JSON, which may be left out. What is taken is small, so that it is read where it is.
fn parse<T: Default + for<'a> Deserialize<'a>>(body: &Bytes) -> Result<T, Error> {
    if body.len() > SMALL {
        return Err(Error::TooLarge(format!(
            "the body has {} bytes, no more than {SMALL} are taken here: a model is what its folder has; put it there and load it then",
            body.len()
        )));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        // It quotes what it did not expect, whole.
        let error = error.to_string();
        Error::BadRequest(format!("the body is not what it should be: {}", excerpt(&error)))
    })
}

/// What a refusal is to HTTP: that the server's own files are wrong is not the caller's fault.
pub(in crate::api) fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Config(_) | Refusal::Repository(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Refusal::Unknown(_) => StatusCode::NOT_FOUND,
        Refusal::Full | Refusal::Stopped => StatusCode::SERVICE_UNAVAILABLE,
    }
}
