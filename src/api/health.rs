//! Whether the server lives, is ready, and what it is.

use super::{AppState, admin::Owner};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Extensions, StatusCode};
use serde_json::json;

/// `GET /v2/health/live`: 200 as long as there is somebody to answer.
pub(super) async fn live() -> Response {
    Json(json!({ "live": true })).into_response()
}

/// `GET /v2/health/ready`: 200 while serving, with every model that should be there; 503 else, and in a drain. The specification's text calls the member `live`, its
/// schema has none; both are here.
pub(super) async fn ready(State(app): AppState) -> Response {
    let ready = app.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "live": true, "ready": ready }))).into_response()
}

/// What of Triton's extensions there is, by its names. Not `schedule_policy`: there is a `timeout`, but no `priority`.
const EXTENSIONS: [&str; 5] =
    ["classification", "model_configuration", "binary_tensor_data", "parameters", "statistics"];

/// And of those, what is there for the server's owner alone.
const OWNERS: [&str; 2] = ["model_repository", "model_repository(unload_dependents)"];

/// `GET /v2`
pub(super) async fn server(extensions: Extensions) -> Response {
    let (name, version) = ("predictd", env!("CARGO_PKG_VERSION"));
    let owners: &[&str] = if extensions.get::<Owner>().is_some() { &OWNERS } else { &[] };
    let extensions: Vec<&str> = EXTENSIONS.iter().chain(owners).copied().collect();
    Json(json!({ "name": name, "version": version, "extensions": extensions })).into_response()
}
