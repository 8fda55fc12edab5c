//! A request to a model, whatever language it speaks: its body becomes tensors, and the outputs become a body.
//!
//! What costs little is read where it is: less than to have a worker do it first. Other bodies, and every answer, are the
//! pool's work; the I/O thread only moves bytes.

use super::{
    encoding::{self, Accepted, Coding, Packed},
    error::Error,
};
use crate::{
    pool::{Inputs, Order, Prepared},
    serving::{Model, Served},
    telemetry::{RequestId, access::Work},
    wire::Pieces,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use predictd_protocol::inference::tensor::Tensor;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Bodies are read where they are if so many bytes have to be gone through.
pub(super) const SMALL: usize = 64 * 1024;

/// Bytes of JSON before those of tensors.
pub(super) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// What a request says of itself, whatever it is for.
#[derive(Clone)]
pub(super) struct Call {
    request: RequestId,
    /// How long it may take, from now.
    deadline: Duration,
    packed: Option<Packed>,
    accepted: Accepted,
}

impl Call {
    /// Our own, for a model of that deadline.
    pub(super) fn of_ours(deadline: Duration) -> Self {
        Self { request: RequestId::random(), deadline, packed: None, accepted: Accepted::default() }
    }

    /// A request that has just come, for a model of that deadline.
    pub(super) fn of(
        headers: &HeaderMap,
        extensions: &Extensions,
        deadline: Duration,
    ) -> Result<Self, Error> {
        Ok(Self {
            // As the wires have given it.
            request: extensions.get().cloned().unwrap_or_else(RequestId::random),
            deadline,
            packed: Packed::of(headers, extensions)?,
            accepted: Accepted::of(headers),
        })
    }

    /// How long it may take.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The same call, after `taken` of its time.
    pub(super) fn after(&self, taken: Duration) -> Self {
        Self { deadline: self.deadline.saturating_sub(taken), ..self.clone() }
    }

    /// What its client takes.
    pub(super) fn accepted(&self) -> Accepted {
        self.accepted
    }

    /// Whether the body is read where it is, `effort` of its bytes being gone through. A compressed one is a worker's, however
    /// small it is: nobody knows what it grows to.
    pub(super) fn is_read_here(&self, effort: usize) -> bool {
        effort <= SMALL && self.packed.is_none()
    }
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
    body: Pieces,
    /// How much of it is JSON, if not all.
    header_length: Option<usize>,
    coding: Option<Coding>,
    /// Before it was compressed.
    length: usize,
    work: Work,
}

impl Answer {
    pub(super) fn json(body: Vec<u8>) -> Self {
        Self::binary(vec![body.into()], None)
    }

    /// JSON and behind it tensors as bytes, if there are any.
    pub(super) fn binary(body: Vec<Bytes>, header_length: Option<usize>) -> Self {
        let body = body.into_iter().collect::<Pieces>().joined_if_many();
        Self { length: body.len(), body, header_length, ..Self::default() }
    }

    /// That it took this to make it.
    pub(super) fn after(self, work: Work) -> Self {
        Self { work, ..self }
    }

    /// In a coding that the client takes, if that is worth it.
    pub(super) fn packed(mut self, accepted: Accepted, is_wanted: impl Fn() -> bool) -> Self {
        if let Some((coding, body)) = accepted.pack(&self.body, is_wanted) {
            (self.coding, self.body) = (Some(coding), body.into());
        }
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let content_type = match self.header_length {
            None => "application/json",
            Some(_) => "application/octet-stream",
        };
        let head = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
        let mut response = (head, Body::new(self.body)).into_response();
        if let Some(length) = self.header_length {
            response.headers_mut().insert(HEADER_LENGTH, length.into());
        }
        encoding::mark(response.headers_mut(), self.length, self.coding);
        response.extensions_mut().insert(self.work);
        response
    }
}

/// What the reading of a body leaves for the printing of its answer, and whether anybody waits for that.
pub(super) struct Exchange<A> {
    wanted: OnceLock<A>,
    over: AtomicBool,
}

impl<A> Exchange<A> {
    fn new() -> (Arc<Self>, Caller<A>) {
        let exchange = Arc::new(Self { wanted: OnceLock::new(), over: AtomicBool::new(false) });
        (Arc::clone(&exchange), Caller(exchange))
    }

    pub(super) fn wanted(&self) -> &A {
        self.wanted.get().expect("the body was read before the model ran")
    }

    pub(super) fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

/// Who waits. Dropped, there is nobody.
struct Caller<A>(Arc<Exchange<A>>);

impl<A> Drop for Caller<A> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Has `model` answer a body: `read` makes tensors of it, going through `effort` of its bytes, and `print` the answer of the
/// outputs.
pub(super) async fn ask<A: Send + Sync + 'static>(
    model: &Served,
    call: Call,
    body: Bytes,
    effort: usize,
    read: impl FnOnce(&Model, &Bytes) -> Result<Asked<A>, Error> + Send + 'static,
    print: impl FnOnce(&Model, &A, &[Tensor]) -> Result<Answer, Error> + Send + 'static,
) -> Result<Answer, Error> {
    let accepted = call.accepted;
    let print = move |model: &Model, exchange: &Exchange<A>, outputs: Vec<Tensor>| {
        let answer = print(model, exchange.wanted(), &outputs)?;
        drop(outputs);
        Ok(answer.packed(accepted, || exchange.goes_on()))
    };
    let (answer, work) = begin(model, call, body, effort, read, print)?.await?;
    Ok(answer.after(work))
}

/// The same for an answer of any kind, and queued already when this returns.
pub(super) fn begin<A, T, R, P>(
    model: &Served,
    mut call: Call,
    body: Bytes,
    effort: usize,
    read: R,
    print: P,
) -> Result<impl Future<Output = Result<(T, Work), Error>> + use<A, T, R, P>, Error>
where
    A: Send + Sync + 'static,
    T: Send + 'static,
    R: FnOnce(&Model, &Bytes) -> Result<Asked<A>, Error> + Send + 'static,
    P: FnOnce(&Model, &Exchange<A>, Vec<Tensor>) -> Result<T, Error> + Send + 'static,
{
    let here = call.is_read_here(effort);
    let (exchange, caller) = Exchange::new();
    let read = {
        let (model, exchange) = (Arc::clone(&model.model), Arc::clone(&exchange));
        let packed = call.packed.take();
        move || {
            let body = unpacked(packed, body, &exchange)?;
            let asked = read(&model, &body)?;
            let _ = exchange.wanted.set(asked.wanted);
            Ok::<_, Error>(Prepared { tensors: asked.inputs, timeout: asked.timeout })
        }
    };
    let inputs = if here {
        let Prepared { tensors, timeout } = read()?;
        call.deadline = timeout.map_or(call.deadline, |timeout| timeout.min(call.deadline));
        Inputs::Ready(tensors)
    } else {
        Inputs::Later(Box::new(read))
    };
    let print = {
        let model = Arc::clone(&model.model);
        move |outputs: Vec<Tensor>| print(&model, &exchange, outputs)
    };
    let done = run(model, &call, inputs, print)?;
    Ok(async move {
        let done = done.await;
        drop(caller);
        done
    })
}

/// Has `work` done with a body: here if that is small, else by a worker.
pub(super) async fn with_body<T: Send + 'static>(
    model: &Served,
    call: &mut Call,
    body: Bytes,
    work: impl FnOnce(Bytes) -> Result<T, Error> + Send + 'static,
) -> Result<(T, Work), Error> {
    if call.is_read_here(body.len()) {
        return Ok((work(body)?, Work::default()));
    }
    let (exchange, _caller) = Exchange::<()>::new();
    let packed = call.packed.take();
    let work = move || work(unpacked(packed, body, &exchange)?);
    let ticket = model.lane.chore(call.request.clone(), call.deadline, work);
    let ticket = ticket.map_err(|why| Error::Busy(model.name.clone(), why))?;
    ticket.await.map_err(|failure| Error::of(&model.name, failure))
}

fn unpacked<A>(packed: Option<Packed>, body: Bytes, exchange: &Exchange<A>) -> Result<Bytes, Error> {
    match packed {
        None => Ok(body),
        Some(packed) => Ok(packed.unpack(&body, || exchange.goes_on())?),
    }
}

/// Has the pool run `model` and make an answer of its outputs; queued already when this returns.
pub(super) fn run<T, F>(
    model: &Served,
    call: &Call,
    inputs: Inputs<Error>,
    finish: F,
) -> Result<impl Future<Output = Result<(T, Work), Error>> + use<T, F>, Error>
where
    T: Send + 'static,
    F: FnOnce(Vec<Tensor>) -> Result<T, Error> + Send + 'static,
{
    let (model, lane) = (Arc::clone(&model.model), &model.lane);
    let order = Order { request: call.request.clone(), deadline: call.deadline, inputs };
    let ticket = lane.submit(order, finish).map_err(|why| Error::Busy(model.name.clone(), why))?;
    Ok(async move { ticket.await.map_err(|failure| Error::of(&model.name, failure)) })
}
