//! How the server stands: `GET /status` for people and their tools, `GET /metrics` for Prometheus.

use crate::{
    api::AppState,
    telemetry::{
        access::Polled,
        metrics::{self, CONTENT_TYPE},
    },
};
use axum::{Extension, Json, extract::State, response::IntoResponse};
use http::header;

pub(super) async fn status(State(app): AppState) -> impl IntoResponse {
    (Extension(Polled), app.shown(|snapshot| Json(snapshot).into_response()).await)
}

pub(super) async fn metrics(State(app): AppState) -> impl IntoResponse {
    (
        Extension(Polled),
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        app.shown(|snapshot| metrics::text(&snapshot)).await,
    )
}
