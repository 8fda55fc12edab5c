//! How many requests are with a handler, and how many it has answered.

use super::{Body, Handler};
use http::Request;
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tower::Service;

/// The counts; all clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    in_flight: AtomicUsize,
    answered: AtomicU64,
}

impl Tally {
    /// Requests that the handler is at.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that it has answered, ever.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// A handler whose requests are counted.
    pub fn count<H: Handler>(&self, handler: H) -> Counted<H> {
        Counted { handler, tally: self.clone() }
    }
}

/// A handler, and the counts of its requests.
#[derive(Clone, Debug)]
pub struct Counted<H> {
    handler: H,
    tally: Tally,
}

impl<H: Handler> Service<Request<Body>> for Counted<H> {
    type Response = H::Response;
    type Error = H::Error;
    type Future = Answer<H::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H::Error>> {
        self.handler.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.tally.0.in_flight.fetch_add(1, Ordering::Relaxed);
        Answer { answer: self.handler.call(request), at_it: AtIt(self.tally.clone()) }
    }
}

pin_project! {
    /// An answer to come.
    #[derive(Debug)]
    pub struct Answer<F> {
        #[pin]
        answer: F,
        at_it: AtIt,
    }
}

/// One request, until it is answered or dropped.
#[derive(Debug)]
struct AtIt(Tally);

impl Drop for AtIt {
    fn drop(&mut self) {
        self.0.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F: Future> Future for Answer<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(cx));
        this.at_it.0.0.answered.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::Response;
    use std::convert::Infallible;
    use tower::ServiceExt;

    #[tokio::test]
    async fn what_is_dropped_is_not_answered() {
        let handler = tower::service_fn(|request: Request<Body>| async move {
            if request.uri().path() == "/never" {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new(Body::default()))
        });
        let tally = Tally::default();
        let counted = tally.count(handler);
        let request = |path: &str| Request::builder().uri(path).body(Body::default()).unwrap();
        counted.clone().oneshot(request("/")).await.unwrap();
        assert_eq!((tally.in_flight(), tally.answered()), (0, 1));
        let mut never = Box::pin(counted.oneshot(request("/never")));
        assert!(std::future::poll_fn(|cx| Poll::Ready(never.as_mut().poll(cx))).await.is_pending());
        assert_eq!((tally.in_flight(), tally.answered()), (1, 1));
        drop(never);
        assert_eq!((tally.in_flight(), tally.answered()), (0, 1));
    }
}
