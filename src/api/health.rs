//! Whether the server lives, is ready, and what it is.

use super::AppState;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::json;

/// `GET /v2/health/live`: 200 as long as there is somebody to answer.
pub(super) async fn live() -> Response {
    Json(json!({ "live": true })).into_response()
}

/// `GET /v2/health/ready`: 200 while serving, 503 in a drain. The specification's text calls the member `live`, its
/// schema has none; both are here.
pub(super) async fn ready(State(app): AppState) -> Response {
    let ready = !app.is_draining();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "live": true, "ready": ready }))).into_response()
}

/// What of Triton's extensions there is, by its names. Not `schedule_policy`: there is a `timeout`, but no `priority`.
const EXTENSIONS: [&str; 5] =
    ["classification", "model_configuration", "binary_tensor_data", "parameters", "statistics"];

/// `GET /v2`
pub(super) async fn server() -> Response {
    let (name, version) = ("predictd", env!("CARGO_PKG_VERSION"));
    Json(json!({ "name": name, "version": version, "extensions": EXTENSIONS })).into_response()
}
