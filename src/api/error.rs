//! One table from what went wrong to status, text and metric label.

use super::{admin, encoding::CodingError};
use crate::{
    model::folder::ModelName,
    pool::{Failure, Rejected},
    recipe::PictureError,
    serving::{InputError, Lookup, Model, Refusal},
    wire::Overgrown,
};
use axum::{
    extract::rejection::PathRejection,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header};
use predictd_protocol::excerpt::{Excerpt, excerpt};
use std::{fmt::Display, time::Duration};

/// Why a request has no better answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body or the query is not what it should be.
    #[error("{0}")]
    BadRequest(String),
    /// No such path.
    #[error("there is nothing at {}", excerpt(.0))]
    NoRoute(String),
    /// No such model or version, or not now.
    #[error(transparent)]
    NoModel(#[from] Lookup),
    /// Who asks may not.
    #[error("{0}")]
    Forbidden(String),
    /// Nothing was done to the models.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A model could not be loaded.
    #[error("{0}")]
    NotLoaded(String),
    /// It goes on without us.
    #[error("the {operation} did not end within {} s, and goes on; /status tells how it stands", .waited.as_secs())]
    StillLoading {
        /// What.
        operation: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A verb of TensorFlow Serving's or KServe's that is not ours.
    #[error("model '{}' does not {}: there is only :predict", .0, excerpt(.1))]
    NoVerb(ModelName, String),
    /// TensorFlow Serving's other names for versions.
    #[error("model '{}' has no version of the label '{}': its versions have numbers, /versions/1", .0, excerpt(.1))]
    NoLabel(ModelName, String),
    /// The path is for other methods.
    #[error("{} does not take {}", excerpt(.path), excerpt(.method.as_str()))]
    Method {
        /// The method used.
        method: Method,
        /// The path.
        path: String,
    },
    /// The model does not take what was sent.
    #[error("{0}")]
    MediaType(String),
    /// A compressed body cannot be read.
    #[error(transparent)]
    Coding(#[from] CodingError),
    /// There is too much of what was sent.
    #[error("{0}")]
    TooLarge(String),
    /// One part of a form is the cause.
    #[error("{0}: {1}")]
    Part(String, Box<Error>),
    /// The tensors are not the model's.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The picture cannot be used.
    #[error("model '{0}': {1}")]
    Image(ModelName, PictureError),
    /// The model failed.
    #[error("model '{0}' failed: {1}")]
    Model(ModelName, String),
    /// The work panicked.
    #[error("model '{0}' failed in an unforeseen way; the server's log has more")]
    Panicked(ModelName),
    /// There is no room for the work, or the model is closed.
    #[error("model '{0}': {1}; try again in a moment")]
    Busy(ModelName, Rejected),
    /// It took too long.
    #[error("model '{model}' gave no answer within {}", time(*.deadline))]
    Deadline {
        /// The model.
        model: ModelName,
        /// How long it had.
        deadline: Duration,
    },
}

/// In milliseconds, or whatever is whole.
fn time(time: Duration) -> String {
    let micros = time.as_micros();
    if micros.is_multiple_of(1000) { format!("{} ms", micros / 1000) } else { format!("{micros} us") }
}

impl From<PathRejection> for Error {
    /// What cannot be decoded names nothing that there is.
    fn from(rejection: PathRejection) -> Self {
        Self::BadRequest(format!("the path cannot be read: {}", rejection.body_text()))
    }
}

impl Error {
    /// What is wrong with a request for `model`.
    pub(super) fn bad_request(model: &Model, what: impl Display) -> Self {
        Self::BadRequest(format!("model '{}': {what}", model.name))
    }

    /// That `model` has no answer.
    pub(super) fn of(model: &ModelName, failure: Failure<Self>) -> Self {
        let model = model.clone();
        match failure {
            Failure::Work(error) => error,
            Failure::Run(reason) => Self::Model(model, reason),
            Failure::Panicked => Self::Panicked(model),
            Failure::Deadline(deadline) => Self::Deadline { model, deadline },
            Failure::Closed(reason) => Self::Busy(model, Rejected::Closed(reason)),
            Failure::Stopped => Self::Busy(model, Rejected::Stopped),
        }
    }

    /// The status that says so.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::Input(_) => StatusCode::BAD_REQUEST,
            Self::NoModel(Lookup::Loading(_) | Lookup::Failed(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRoute(_) | Self::NoModel(_) | Self::NoVerb(..) | Self::NoLabel(..) => {
                StatusCode::NOT_FOUND
            }
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Refused(refusal) => admin::status(refusal),
            Self::NotLoaded(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::StillLoading { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType(_) | Self::Coding(CodingError::Unknown(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Coding(CodingError::Overgrown(Overgrown::TooLarge(_))) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Coding(CodingError::Overgrown(Overgrown::Exhausted(_))) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Coding(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Part(_, error) => error.status(),
            Self::Image(..) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Model(..) | Self::Panicked(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy(..) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// Characters of a text.
const LONGEST: usize = 4096;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let text = self.to_string();
        // Whoever says what is wrong quotes in part. This is for who forgets; what the owner's own files say is whole.
        let longest = if matches!(self, Self::Refused(_)) { usize::MAX } else { LONGEST };
        let body = serde_json::json!({ "error": Excerpt::of(&text, longest).to_string() }).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if matches!(self, Self::Coding(CodingError::Unknown(_))) {
            response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_text_is_without_end() {
        let response = Error::BadRequest("é".repeat(1 << 20)).into_response();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(body.len() < 3 * LONGEST && body.ends_with(b"... (2097152 bytes)\"}"), "{}", body.len());
    }
}
