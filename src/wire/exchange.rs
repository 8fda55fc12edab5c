//! One request to one response, the same whatever wire it came by: request id, handler, whole body, access log.

use super::{BoxError, Handler, Pieces};
use crate::telemetry::{RequestId, access, traffic::Traffic};
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, request, response};
use http_body_util::{BodyExt, Full};
use predictd_protocol::gateway::detect::Wire;
use std::{panic::AssertUnwindSafe, pin::pin};
use tower::ServiceExt;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The caller's id if it may be one, else a new one.
fn id_of(parts: &request::Parts) -> RequestId {
    let id = parts.headers.get(&X_REQUEST_ID).and_then(RequestId::of).unwrap_or_else(RequestId::random);
    id.asking(&parts.method, &parts.uri)
}

/// What makes responses of requests, for every connection of a listener.
#[derive(Clone, Debug)]
pub(super) struct Exchange<H> {
    pub handler: H,
    pub traffic: Traffic,
}

impl<H: Handler> Exchange<H> {
    /// Lets the handler answer a request.
    pub(super) async fn answer(
        self,
        wire: Wire,
        mut parts: request::Parts,
        body: Bytes,
    ) -> (response::Parts, Pieces) {
        let Self { handler, traffic } = self;
        let id = id_of(&parts);
        let mut line = access::Line::begin(&traffic, wire, id.clone(), &parts, body.len());
        parts.extensions.insert(id.clone());
        let request = Request::from_parts(parts, Full::new(body));
        let response = async {
            let response = handler.oneshot(request).await.map_err(Into::into)?;
            collect(response).await
        };
        // What the handler has touched is dropped with it, or shared behind its own locks.
        let response = match AssertUnwindSafe(response).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => failed(&id, &error.to_string()),
            Err(_) => failed(&id, "it panicked"),
        };
        let (mut parts, body) = response.into_parts();
        parts.headers.insert(X_REQUEST_ID, id.value().clone());
        line.end(&parts, body.len());
        (parts, body)
    }
}

/// The answer to what is no request.
pub(super) fn refusal(
    traffic: &Traffic,
    wire: Wire,
    status: StatusCode,
    reason: &str,
) -> (response::Parts, Pieces) {
    let id = refused(traffic, wire, status, reason);
    let (mut parts, body) = plain(status, reason).into_parts();
    parts.headers.insert(X_REQUEST_ID, id.value().clone());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        parts.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    (parts, body)
}

/// Logs and counts such an answer, whoever gives it.
pub(super) fn refused(traffic: &Traffic, wire: Wire, status: StatusCode, reason: &str) -> RequestId {
    let id = RequestId::random();
    tracing::warn!(request_id = %id, wire = wire.name(), status = status.as_u16(), "refused: {reason}");
    access::refused(traffic, wire, &id, status);
    id
}

fn failed(id: &RequestId, reason: &str) -> Response<Pieces> {
    tracing::error!(request_id = %id, "the handler failed: {reason}");
    plain(StatusCode::INTERNAL_SERVER_ERROR, "the handler failed; the server's log has more")
}

async fn collect<B>(response: Response<B>) -> Result<Response<Pieces>, BoxError>
where
    B: http_body::Body<Error: Into<BoxError> + Send>,
{
    let (parts, body) = response.into_parts();
    let (mut body, mut pieces) = (pin!(body), Pieces::default());
    while let Some(frame) = body.frame().await {
        if let Ok(mut data) = frame.map_err(Into::into)?.into_data() {
            pieces.push(data.copy_to_bytes(data.remaining()));
        }
    }
    Ok(Response::from_parts(parts, pieces.joined_if_many()))
}

/// The Content-Length to send: the body's, or for HEAD, what the handler says that it would be.
pub(super) fn content_length(parts: &response::Parts, body: &Pieces, head_only: bool) -> u64 {
    let said = parts.headers.get(header::CONTENT_LENGTH).filter(|_| head_only);
    said.and_then(|said| said.to_str().ok()?.parse().ok()).unwrap_or(body.len() as u64)
}

/// An error in the form that all errors have.
fn plain(status: StatusCode, reason: &str) -> Response<Pieces> {
    let body = serde_json::json!({ "error": reason }).to_string();
    let mut response = Response::new(body.into_bytes().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    async fn status_of<H: Handler>(handler: H) -> (StatusCode, Vec<u8>) {
        let parts = Request::new(()).into_parts().0;
        let (parts, body) =
            Exchange { handler, traffic: Traffic::default() }.answer(Wire::Uwsgi, parts, Bytes::new()).await;
        assert!(parts.headers.contains_key(X_REQUEST_ID));
        (parts.status, body.iter().collect::<Vec<_>>().concat())
    }

    #[tokio::test]
    async fn a_handler_that_panics_or_fails_answers_500() {
        let panics = tower::service_fn(|_: Request<Full<Bytes>>| async {
            assert!(std::hint::black_box(false), "on purpose");
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        });
        let fails = tower::service_fn(|_: Request<Full<Bytes>>| async {
            Err::<Response<Full<Bytes>>, _>(std::io::Error::other("on purpose"))
        });
        let said = br#"{"error":"the handler failed; the server's log has more"}"#.to_vec();
        let expected = (StatusCode::INTERNAL_SERVER_ERROR, said);
        assert_eq!(status_of(panics).await, expected);
        assert_eq!(status_of(fails).await, expected);
    }
}
