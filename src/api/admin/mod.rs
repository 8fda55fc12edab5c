//! The admin interface: what the public one has, and what only the server's owner may do.
//!
//! It has no passwords: whoever reaches its address may. So nobody must reach it by somebody else's browser.

mod callers;
mod page;
mod repository;
mod status;

pub use callers::Callers;
pub(super) use callers::Owner;
pub(super) use repository::status;

use super::{App, finish, routes};
use axum::{
    Router, middleware,
    routing::{get, post},
};
use std::sync::Arc;

/// All routes, for those who may call them.
pub fn router(app: App, callers: Callers) -> Router {
    let routes = page::routes(routes())
        .route("/status", get(status::status))
        .route("/metrics", get(status::metrics))
        .route("/reload", post(repository::reload))
        .route("/v2/repository/index", post(repository::index))
        .route("/v2/repository/models/{model}/load", post(repository::load))
        .route("/v2/repository/models/{model}/unload", post(repository::unload));
    finish(routes, app).layer(middleware::from_fn_with_state(Arc::new(callers), callers::check))
}
