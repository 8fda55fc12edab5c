//! Routes: from `http::Request` to `http::Response`.

mod error;
mod health;
mod predict;
mod v2;

pub use error::Error;

use crate::{
    model::engine::Interrupt,
    pool::Pool,
    serving::{Model, Models},
    telemetry::access::Work,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{Method, Uri, header};
use predictd_protocol::inference::{tensor::Tensor, v2::Input};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What the routes answer from.
#[derive(Clone, Debug)]
pub struct App {
    /// What can be asked.
    pub models: Models,
    /// Who does the work.
    pub pool: Arc<Pool>,
    /// Pixels that a picture may have.
    pub pixels: u64,
    draining: Arc<AtomicBool>,
}

impl App {
    /// An application over `models`, run by `pool`.
    #[must_use]
    pub fn new(models: Models, pool: Arc<Pool>, pixels: u64) -> Self {
        Self { models, pool, pixels, draining: Arc::default() }
    }

    /// From now on the server is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Runs the model `name` as a request to `/v2/models/NAME/infer` would: for routes of your own.
    ///
    /// # Errors
    /// Why there is no answer; it is a response already.
    pub async fn infer(&self, name: &str, inputs: Vec<Input>) -> Result<Vec<Tensor>, Error> {
        let model = Arc::clone(self.models.find(name, None)?);
        let run = {
            let model = Arc::clone(&model);
            move |interrupt: &Interrupt| {
                model.infer(inputs, interrupt).map_err(|error| Error::infer(&model.name, error))
            }
        };
        let (outputs, _) = self.work(&model, model.deadline, run).await?;
        Ok(outputs)
    }

    /// Has the pool do `work` for `model`, until `deadline` has passed.
    async fn work<T: Send + 'static>(
        &self,
        model: &Model,
        deadline: Duration,
        work: impl FnOnce(&Interrupt) -> Result<T, Error> + Send + 'static,
    ) -> Result<(T, Work), Error> {
        let ticket = self.pool.submit(work)?;
        let Ok(done) = tokio::time::timeout(deadline, ticket).await else {
            return Err(Error::Deadline { model: model.name.clone(), deadline });
        };
        let (result, work) = done.map_err(|_| Error::Panicked(model.name.clone()))?;
        Ok((result?, work))
    }
}

/// All public routes.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v2", get(health::server))
        .route("/v2/", get(health::server))
        .route("/v2/health/live", get(health::live))
        .route("/v2/health/ready", get(health::ready))
        .route("/v2/models/{model}", get(v2::metadata))
        .route("/v2/models/{model}/ready", get(v2::ready))
        .route("/v2/models/{model}/infer", post(v2::infer))
        .route("/v2/models/{model}/versions/{version}", get(v2::metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(v2::ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(v2::infer))
        .route("/predict/{model}", post(predict::predict))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // The wires have bounded the body already.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

async fn not_found(uri: Uri) -> Error {
    Error::NoRoute(uri.path().to_owned())
}

async fn method_not_allowed(method: Method, uri: Uri) -> Error {
    Error::Method { method, path: uri.path().to_owned() }
}

/// A JSON body that is already printed, and what it took to make it.
struct Json(Vec<u8>, Work);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        let mut response = ([(header::CONTENT_TYPE, "application/json")], self.0).into_response();
        response.extensions_mut().insert(self.1);
        response
    }
}

/// The state as handlers take it.
type AppState = State<App>;
