//! Triton's statistics extension: what became of the requests for each model (`extension_statistics.md`).
//!
//! Every member that clients of Triton look up is there, those of caches that we do not have with zeros. The counts of
//! `compute_input`, `compute_infer` and `compute_output` are one number, as perf_analyzer insists on.

use super::{
    AppState,
    error::Error,
    v2::{InPath, Target},
};
use crate::{
    serving::Served,
    telemetry::statistics::{Figures, Runs},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// `GET /v2/models/stats`: all versions of all models.
pub(super) async fn all(State(app): AppState) -> Response {
    answer(&app.models.all())
}

/// `GET /v2/models/{model}[/versions/{version}]/stats`: without a version, of all that the model has.
pub(super) async fn of_model(State(app): AppState, target: InPath) -> Result<Response, Error> {
    let Path(Target { model, version }) = target?;
    let models = match version {
        None => app.models.versions(&model)?,
        Some(version) => vec![app.models.find(&model, Some(&version))?],
    };
    Ok(answer(&models))
}

fn answer(models: &[Arc<Served>]) -> Response {
    let models: Vec<Value> = models
        .iter()
        .map(|model| of(model.name.as_str(), model.version, &model.lane.statistics().figures()))
        .collect();
    Json(json!({ "model_stats": models })).into_response()
}

fn of(name: &str, version: u64, figures: &Figures) -> Value {
    let answered = |time| duration(figures.answered, time);
    let (failed, none) = (figures.failed(), duration(0, Duration::ZERO));
    json!({
        "name": name,
        "version": version.to_string(),
        "last_inference": figures.last.map_or(0, milliseconds),
        "inference_count": figures.rows,
        "execution_count": figures.runs,
        "inference_stats": {
            "success": answered(figures.total()),
            "fail": duration(failed.count, failed.time),
            "queue": answered(figures.queue_wait.sum()),
            "compute_input": answered(figures.prepare.sum()),
            "compute_infer": answered(figures.run.sum()),
            "compute_output": answered(figures.finish.sum()),
            "cache_hit": none,
            "cache_miss": none,
        },
        "response_stats": {},
        "batch_stats": figures.by_rows.iter().map(batch).collect::<Vec<_>>(),
        "memory_usage": [],
    })
}

fn batch(runs: &Runs) -> Value {
    json!({
        "batch_size": runs.rows,
        "compute_input": duration(runs.count, runs.prepare),
        "compute_infer": duration(runs.count, runs.run),
        "compute_output": duration(runs.count, runs.finish),
    })
}

fn duration(count: u64, time: Duration) -> Value {
    json!({ "count": count, "ns": u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) })
}

/// Since the epoch.
fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
