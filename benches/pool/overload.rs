//! What becomes of twice the load that is possible, by clients who do not wait for their answers.

use crate::{
    Length, Table, Wanted,
    clients::{ask, block_on, closed_loop, waker},
    median, percentile, pool,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use predictd::{
    Tensor,
    model::engine::{Engine, Interrupt, RunError, Signature},
    pool::{Batching, Failure, Lane, Rejected},
};
use std::{
    error::Error,
    hint,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

/// What a run takes on a core of its own.
const RUN: Duration = Duration::from_millis(5);

/// What an answer may be late by: the one who takes it has to get a core that the model runs on.
const LATE: f64 = 10.0;

/// Who asks too much, and of what.
struct Case {
    name: &'static str,
    queue: usize,
    patience: Duration,
}

const CASES: [Case; 2] = [
    Case { name: "its queue is the bound", queue: 32, patience: Duration::from_secs(2) },
    Case { name: "the deadline, of 100 ms, is the bound", queue: 1024, patience: Duration::from_millis(100) },
];

pub(crate) fn measure(table: &mut Table, length: &Length) -> Result<(), Box<dyn Error>> {
    let (pool, workers) = pool(None)?;
    let engine: Arc<dyn Engine> = Arc::new(Busy::new());
    let input = vec![Tensor::from_numbers(vec![1, 1], vec![1.0_f32])?];
    for Case { name, queue, patience } in CASES {
        let batching =
            Batching { has_rows: true, joins: false, max_rows: 1, max_delay: Duration::ZERO, queue };
        let lane = pool.open("busy", Arc::clone(&engine), batching);
        let possible = || closed_loop(&lane, &input, workers * 4, length.round).map(|got| got.rate);
        let before = possible()?;
        let load =
            Load { interval: Duration::from_secs_f64(0.5 / before), length: length.overload, patience };
        let mut seen = load.put_on(&lane, &input)?;
        let rate = seen.answers as f64 / load.length.as_secs_f64();
        let possible = f64::midpoint(before, possible()?);

        table.title(format!(
            "overload, and {name}: {} requests in {:?}, of about {RUN:?} each, {workers} workers",
            seen.sent, load.length
        ));
        table.figure("answers/s that are possible", possible, "", Wanted::Any);
        table.figure("  at twice that load, against that", rate / possible, "x", Wanted::AtLeast(0.95));
        if !seen.rejections.is_empty() {
            table.figure("requests rejected", seen.rejections.len() as f64, "", Wanted::Any);
            table.figure("  median", median(&mut seen.rejections), "ms", Wanted::AtMost(5.0));
            table.figure("  99 %", percentile(&mut seen.rejections, 0.99), "ms", Wanted::AtMost(5.0));
        }
        if seen.expired > 0 {
            table.figure("requests answered by their deadline", f64::from(seen.expired), "", Wanted::Any);
        }
        table.figure("latest answer, after its deadline", seen.latest, "ms", Wanted::AtMost(LATE));
    }
    Ok(())
}

/// Requests at fixed times, whatever becomes of them.
struct Load {
    interval: Duration,
    length: Duration,
    patience: Duration,
}

/// What became of them; times in ms.
#[derive(Default)]
struct Seen {
    sent: u32,
    /// Within the time of the load.
    answers: u32,
    expired: u32,
    rejections: Vec<f64>,
    /// The most that an answer of any kind came after its deadline.
    latest: f64,
}

impl Load {
    fn put_on(&self, lane: &Lane, input: &[Tensor]) -> Result<Seen, Box<dyn Error>> {
        let (mut seen, mut waiting) = (Seen::default(), FuturesUnordered::new());
        let waker = waker();
        let begun = Instant::now();
        while begun.elapsed() < self.length {
            while self.interval * seen.sent <= begun.elapsed() {
                let asked = Instant::now();
                match ask(lane, input, self.patience) {
                    Ok(ticket) => waiting.push(async move { (ticket.await.map(|_| ()), asked.elapsed()) }),
                    Err(Rejected::Full(_)) => seen.rejections.push(ms(asked.elapsed())),
                    Err(other) => return Err(other.into()),
                }
                seen.sent += 1;
            }
            while let Poll::Ready(Some((answer, took))) =
                waiting.poll_next_unpin(&mut Context::from_waker(&waker))
            {
                seen.answers += u32::from(self.see(&mut seen, answer, took)?);
            }
            thread::park_timeout((self.interval * seen.sent).saturating_sub(begun.elapsed()));
        }
        // What is late counts to the end.
        while let Some((answer, took)) = block_on(waiting.next()) {
            self.see(&mut seen, answer, took)?;
        }
        Ok(seen)
    }

    /// Whether it was an answer of the model's.
    fn see(&self, seen: &mut Seen, answer: Result<(), Failure<()>>, took: Duration) -> Result<bool, String> {
        seen.latest = seen.latest.max(ms(took) - ms(self.patience));
        match answer {
            Ok(()) => Ok(true),
            Err(Failure::Deadline(_)) => {
                seen.expired += 1;
                Ok(false)
            }
            Err(other) => Err(format!("a request failed: {other:?}")),
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A model that is always the same work: unlike one that waits for a time to come, it is slower where others take its core.
struct Busy {
    signature: Signature,
    /// How often to look whether the run is to end.
    steps: u32,
}

impl Busy {
    fn new() -> Self {
        const STEPS: u32 = 1000;
        // The fastest of some: the others had neighbours.
        let times = (0..20).map(|_| {
            let begun = Instant::now();
            (0..STEPS).for_each(|_| step());
            begun.elapsed()
        });
        let fastest = times.min().unwrap_or(RUN);
        let steps = f64::from(STEPS) * RUN.as_secs_f64() / fastest.as_secs_f64();
        let signature = Signature { inputs: Vec::new(), outputs: Vec::new(), row_names: Vec::new() };
        Self { signature, steps: steps as u32 }
    }
}

fn step() {
    let mut number = hint::black_box(1_u64);
    for _ in 0..1000 {
        number = hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

impl Engine for Busy {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &[Tensor], interrupt: &Interrupt) -> Result<Vec<Tensor>, RunError> {
        for _ in 0..self.steps {
            if interrupt.is_terminated() {
                return Err(RunError::Terminated);
            }
            step();
        }
        Ok(inputs.to_vec())
    }
}
