//! `GET /status`: how the server stands, for people and their tools.

use crate::{api::AppState, telemetry::snapshot::Snapshot};
use axum::{Json, extract::State};

pub(super) async fn status(State(app): AppState) -> Json<Snapshot> {
    Json(app.snapshot().await)
}
