//! `GET /status`: how the server stands, for people and their tools.

use crate::{
    api::AppState,
    serving::{Standing, State as ModelState},
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::time::Instant;

pub(super) async fn status(State(app): AppState) -> Response {
    let current = app.loader.current().map(|(operation, model, since)| {
        json!({ "operation": operation.to_string(), "model": model, "for_s": seconds(since) })
    });
    let models = app.models.standings();
    Json(json!({
        "name": "predictd",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "phase": app.life.phase().name(),
        "ready": app.is_ready(),
        "uptime_s": seconds(app.life.begun()),
        "loading": current,
        "models": models.iter().map(model).collect::<Vec<_>>(),
    }))
    .into_response()
}

/// One version of one model, or a model that has none.
fn model(standing: &Standing) -> Value {
    let state = match standing.state {
        ModelState::Loading => "loading",
        ModelState::Ready => "ready",
        ModelState::Closed => "closed",
        ModelState::Unloading => "unloading",
        ModelState::Unavailable => "unavailable",
    };
    json!({
        "name": standing.name,
        "version": standing.version.map(|version| version.to_string()),
        "state": state,
        "for_s": seconds(standing.since),
        "reason": standing.reason,
        "queue_rows": standing.waiting,
    })
}

/// How long ago, to the millisecond.
fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e3).round() / 1e3
}
