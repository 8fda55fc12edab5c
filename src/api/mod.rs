//! Routes: from `http::Request` to `http::Response`.

pub mod admin;
mod ask;
mod encoding;
mod error;
mod health;
mod model_config;
mod openapi;
mod predict;
mod snapshot;
mod statistics;
mod v1;
mod v2;

pub use encoding::CodingError;
pub use error::Error;
pub use snapshot::{Door, Front};

use crate::{
    pool::{Inputs, Pool},
    serving::{Answer, Loader, Models, Operation, Refusal},
    telemetry::phase::{Life, Phase},
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    middleware,
    routing::{MethodRouter, any, get, post},
};
use http::{Method, Uri};
use predictd_protocol::inference::{tensor::Tensor, v2::Input};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What the routes answer from.
#[derive(Clone, Debug)]
pub struct App {
    /// What can be asked.
    pub models: Models,
    /// Who does the work.
    pub pool: Arc<Pool>,
    /// Who loads models.
    pub loader: Loader,
    /// Pixels that a picture may have.
    pixels: Arc<AtomicU64>,
    /// Of the server that this is part of.
    life: Life,
    /// Where its requests come from.
    pub front: Front,
}

impl App {
    /// An application over `models`, which come by `loader` and are run by `pool`, in a server of that `life`. A picture may
    /// have so many pixels.
    #[must_use]
    pub fn new(
        models: Models,
        pool: Arc<Pool>,
        loader: Loader,
        pixels: Arc<AtomicU64>,
        life: Life,
        front: Front,
    ) -> Self {
        Self { models, pool, loader, pixels, life, front }
    }

    /// Has configuration and models read again, on a task of its own: whoever asked need not wait for it.
    ///
    /// # Errors
    /// Where it cannot even be begun.
    pub async fn reload(&self) -> Result<Answer, Refusal> {
        let (pending, life) = (self.loader.ask(Operation::Reload)?, self.life.clone());
        let reload = tokio::spawn(async move {
            let entered = life.enter(Phase::Reloading, "reading configuration and models again");
            let answer = pending.await;
            if entered {
                life.settle();
            }
            answer
        });
        reload.await.map_err(|_| Refusal::Stopped)
    }

    fn pixels(&self) -> u64 {
        self.pixels.load(Ordering::Relaxed)
    }

    /// Whether it serves, and every model that should be there is.
    fn is_ready(&self) -> bool {
        self.life.phase().is_ready() && self.models.lacking().is_empty()
    }

    /// Runs the model `name` as a request to `/v2/models/NAME/infer` would: for routes of your own.
    ///
    /// # Errors
    /// Why there is no answer; it is a response already.
    pub async fn infer(&self, name: &str, inputs: Vec<Input>) -> Result<Vec<Tensor>, Error> {
        let model = self.models.find(name, None)?;
        let inputs = Inputs::Ready(model.arrange(inputs)?);
        Ok(ask::run(&model, &ask::Call::of_ours(model.deadline), inputs, Ok)?.await?.0)
    }
}

/// All public routes. `openapi.yaml` describes each.
fn described() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/openapi.json", get(openapi::document)),
        ("/predict/{model}", post(predict::predict)),
        ("/v2", get(health::server)),
        ("/v2/", get(health::server)),
        ("/v2/health/live", get(health::live)),
        ("/v2/health/ready", get(health::ready)),
        ("/v2/models/stats", get(statistics::all)),
        ("/v2/models/{model}", get(v2::metadata)),
        ("/v2/models/{model}/config", get(model_config::config)),
        ("/v2/models/{model}/stats", get(statistics::of_model)),
        ("/v2/models/{model}/ready", get(v2::ready)),
        ("/v2/models/{model}/infer", post(v2::infer)),
        ("/v2/models/{model}/versions/{version}", get(v2::metadata)),
        ("/v2/models/{model}/versions/{version}/config", get(model_config::config)),
        ("/v2/models/{model}/versions/{version}/stats", get(statistics::of_model)),
        ("/v2/models/{model}/versions/{version}/ready", get(v2::ready)),
        ("/v2/models/{model}/versions/{version}/infer", post(v2::infer)),
        ("/v1/models", told(get(v1::list))),
        ("/v1/models/{model}", any(v1::model)),
        ("/v1/models/{model}/metadata", told(get(v1::metadata))),
        ("/v1/models/{model}/versions/{version}", any(v1::model)),
        ("/v1/models/{model}/versions/{version}/metadata", told(get(v1::metadata))),
        ("/v1/models/{model}/labels/{label}", any(v1::label)),
    ]
}

/// The templates of their paths.
#[must_use]
pub fn paths() -> Vec<&'static str> {
    described().into_iter().map(|(path, _)| path).collect()
}

/// What answers all of them.
pub fn router(app: App) -> Router {
    finish(routes(), app)
}

fn routes() -> Router<App> {
    described().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// What runs no model, and may be long enough to be compressed where it is. Nothing of /v2: tritonclient's asynchronous
/// client says that it takes gzip, and unpacks only what `infer` answers.
fn told(methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.layer(middleware::from_fn(encoding::pack_told))
}

/// What holds for all routes.
fn finish(routes: Router<App>, app: App) -> Router {
    routes
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

/// The state as handlers take it.
type AppState = State<App>;
