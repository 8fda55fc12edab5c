//! A request to a model, whatever language it speaks: its body becomes tensors, and the outputs become a body.
//!
//! What costs little is read where it is: less than to have a worker do it first. Other bodies, and every answer, are the
//! pool's work; the I/O thread only moves bytes.

use super::error::Error;
use crate::{
    pool::{Inputs, Order, Prepared},
    serving::{Model, Served},
    telemetry::{RequestId, access::Work},
};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use predictd_protocol::inference::tensor::Tensor;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Bodies are read where they are if so many bytes have to be gone through.
pub(super) const SMALL: usize = 64 * 1024;

/// Bytes of JSON before those of tensors.
pub(super) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// What a request says of itself, whatever it is for.
pub(super) struct Call {
    /// Its name.
    pub request: RequestId,
    /// How long it may take, from now.
    pub deadline: Duration,
}

/// What has been read of a body.
pub(super) struct Asked<A> {
    /// The tensors, in the order of the model's signature and fitting it.
    pub inputs: Vec<Tensor>,
    /// The time that the client gives, where the body tells.
    pub timeout: Option<Duration>,
    /// What the answer has to be like.
    pub wanted: A,
}

/// A body that is printed, and what it took to make it.
#[derive(Default)]
pub(super) struct Answer {
    body: Vec<u8>,
    /// How much of it is JSON, if not all.
    header_length: Option<usize>,
    work: Work,
}

impl Answer {
    pub(super) fn json(body: Vec<u8>) -> Self {
        Self { body, ..Self::default() }
    }

    /// JSON and behind it tensors as bytes, if there are any.
    pub(super) fn binary(body: Vec<u8>, header_length: Option<usize>) -> Self {
        Self { body, header_length, ..Self::default() }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let content_type = match self.header_length {
            None => "application/json",
            Some(_) => "application/octet-stream",
        };
        let head = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
        let mut response = (head, self.body).into_response();
        if let Some(length) = self.header_length {
            response.headers_mut().insert(HEADER_LENGTH, length.into());
        }
        response.extensions_mut().insert(self.work);
        response
    }
}

/// Has `model` answer a body: `read` makes tensors of it, going through `effort` of its bytes, and `print` the answer of the
/// outputs.
pub(super) async fn ask<A: Send + Sync + 'static>(
    model: &Served,
    mut call: Call,
    body: Bytes,
    effort: usize,
    read: impl FnOnce(&Model, &Bytes) -> Result<Asked<A>, Error> + Send + 'static,
    print: impl FnOnce(&Model, &A, &[Tensor]) -> Result<Answer, Error> + Send + 'static,
) -> Result<Answer, Error> {
    // Known when the body has been read, which may be here or on a worker, and needed for the answer.
    let wanted: Arc<OnceLock<A>> = Arc::default();
    let read = {
        let (model, wanted) = (Arc::clone(&model.model), Arc::clone(&wanted));
        move || {
            let asked = read(&model, &body)?;
            let _ = wanted.set(asked.wanted);
            Ok::<_, Error>(Prepared { tensors: asked.inputs, timeout: asked.timeout })
        }
    };
    let inputs = if effort <= SMALL {
        let Prepared { tensors, timeout } = read()?;
        call.deadline = timeout.map_or(call.deadline, |timeout| timeout.min(call.deadline));
        Inputs::Ready(tensors)
    } else {
        Inputs::Later { prepare: Box::new(read), rows: 1 }
    };
    let print = {
        let model = Arc::clone(&model.model);
        move |outputs: Vec<Tensor>| {
            print(&model, wanted.get().expect("the body was read before the model ran"), &outputs)
        }
    };
    let (answer, work) = run(model, call, inputs, print).await?;
    Ok(Answer { work, ..answer })
}

/// Has the pool run `model` and make an answer of its outputs.
pub(super) async fn run<T: Send + 'static>(
    model: &Served,
    call: Call,
    inputs: Inputs<Error>,
    finish: impl FnOnce(Vec<Tensor>) -> Result<T, Error> + Send + 'static,
) -> Result<(T, Work), Error> {
    let Call { request, deadline } = call;
    let order = Order { request, deadline, inputs };
    let ticket = model.lane.submit(order, finish).map_err(|why| Error::Busy(model.name.clone(), why))?;
    ticket.await.map_err(|failure| Error::of(&model.name, failure))
}
