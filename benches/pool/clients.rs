//! Those who ask: many on one thread, as in the server, where one thread moves all bytes.

use futures_util::future::join_all;
use predictd::{
    RequestId, Tensor,
    pool::{Failure, Inputs, Lane, Order, Rejected, Ticket},
};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// What a bench asks fails with nothing of its own.
pub(crate) type Asked = Ticket<usize, ()>;

/// Submits a request; its answer is the number of rows that came back.
pub(crate) fn ask(lane: &Lane, inputs: &[Tensor], patience: Duration) -> Result<Asked, Rejected> {
    let order =
        Order { request: RequestId::random(), deadline: patience, inputs: Inputs::Ready(inputs.to_vec()) };
    lane.submit(order, |outputs| Ok(outputs.first().map_or(0, |output| output.shape()[0])))
}

const PATIENCE: Duration = Duration::from_secs(30);

/// Asks once and waits.
pub(crate) async fn ask_and_wait(
    lane: &Lane,
    inputs: &[Tensor],
) -> Result<predictd::telemetry::access::Work, String> {
    let ticket = ask(lane, inputs, PATIENCE).map_err(|rejected| rejected.to_string())?;
    match ticket.await {
        Ok((_, work)) => Ok(work),
        Err(failure) => Err(describe(&failure)),
    }
}

fn describe(failure: &Failure<()>) -> String {
    format!("a request failed: {failure:?}")
}

/// What clients got.
pub(crate) struct Got {
    /// Requests/s.
    pub(crate) rate: f64,
    /// In the mean.
    pub(crate) rows_per_run: f64,
}

/// What `clients` get who each wait for an answer before they ask again.
pub(crate) fn closed_loop(
    lane: &Lane,
    inputs: &[Tensor],
    clients: usize,
    length: Duration,
) -> Result<Got, String> {
    let begun = Instant::now();
    let client = || async {
        let (mut answers, mut runs) = (0.0, 0.0);
        while begun.elapsed() < length {
            // Its share of a run.
            runs += 1.0 / ask_and_wait(lane, inputs).await?.batch_rows.max(1) as f64;
            answers += 1.0;
        }
        Ok::<(f64, f64), String>((answers, runs))
    };
    let counts = block_on(join_all((0..clients).map(|_| client())));
    let took = begun.elapsed().as_secs_f64();
    let (mut answers, mut runs) = (0.0, 0.0);
    for count in counts {
        let (own_answers, own_runs) = count?;
        answers += own_answers;
        runs += own_runs;
    }
    Ok(Got { rate: answers / took, rows_per_run: answers / runs })
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What tokio's runtime would do, and no more.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        thread::park();
    }
}

/// The waker of the calling thread, for one that also waits for a time.
pub(crate) fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}
