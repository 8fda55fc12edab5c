//! The model by itself: a thread at each worker's place that does nothing but run it.

use super::{
    Measured,
    latencies::Latencies,
    threads::{self, Gathered, Stop, Work},
};
use crate::{
    model::engine::{Engine, Interrupt, RunError},
    os::{cpus::CpuId, process},
    serving,
};
use anyhow::{anyhow, bail};
use predictd_protocol::inference::tensor::Tensor;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What is run, where, and how long it may take.
pub(super) struct Bare<'a> {
    pub(super) engine: Arc<dyn Engine>,
    /// For each worker the cores that it is pinned to.
    pub(super) places: &'a [Vec<CpuId>],
    /// Of one run, the first too, which is slower.
    pub(super) patience: Duration,
    pub(super) stop: &'a Stop,
}

impl Bare<'_> {
    /// Inputs of so many rows that the model has run on; `None` where the word to stop came first.
    pub(super) fn inputs(&self, rows: usize) -> anyhow::Result<Option<Vec<Tensor>>> {
        let first = |_| -> Task<Result<Vec<Tensor>, String>> {
            Box::new(move |engine, interrupt| {
                serving::first_run(&*engine, rows, &interrupt).map(|(inputs, _)| inputs)
            })
        };
        let made = self.all(1, |_| {}, self.patience, first)?.pop();
        match made.transpose() {
            Err(_) if self.stop.said().is_some() => Ok(None),
            made => made.map_err(|error| anyhow!("it cannot be run on numbers that are made up: {error}")),
        }
    }

    /// Runs it on `inputs` for so long.
    pub(super) fn measure(
        &self,
        inputs: &[Tensor],
        length: Duration,
        watch: impl Fn(Duration),
    ) -> anyhow::Result<Measured> {
        let work = |worker: usize| -> Task<Result<Measured, String>> {
            let (inputs, place) = (inputs.to_vec(), self.places[worker].clone());
            Box::new(move |engine, interrupt| run(&*engine, &inputs, &place, length, &interrupt))
        };
        // The first run is not counted.
        let limit = length + 2 * self.patience;
        let measured = self.all(self.places.len(), watch, limit, work)?.into_iter();
        measured.sum::<Result<Measured, String>>().map_err(anyhow::Error::msg)
    }

    fn all<T: Send + 'static>(
        &self,
        count: usize,
        watch: impl Fn(Duration),
        limit: Duration,
        task: impl Fn(usize) -> Task<T>,
    ) -> anyhow::Result<Vec<T>> {
        let interrupts: Vec<Arc<Interrupt>> = (0..count).map(|_| Arc::default()).collect();
        let work = |(worker, interrupt): (usize, &Arc<Interrupt>)| -> Work<T> {
            let (task, engine, interrupt) = (task(worker), Arc::clone(&self.engine), Arc::clone(interrupt));
            Box::new(move || task(engine, interrupt))
        };
        let work = interrupts.iter().enumerate().map(work).collect();
        let end = || interrupts.iter().for_each(|interrupt| interrupt.terminate());
        let Gathered { results, left_behind, overdue } =
            threads::run("engine", work, limit, self.stop, end, watch)?;
        if overdue {
            bail!("a run did not end within {} s", self.patience.as_secs());
        }
        if left_behind > 0 && self.stop.said().is_none() {
            bail!("a run panicked");
        }
        Ok(results)
    }
}

type Task<T> = Box<dyn FnOnce(Arc<dyn Engine>, Arc<Interrupt>) -> T + Send>;

fn run(
    engine: &dyn Engine,
    inputs: &[Tensor],
    place: &[CpuId],
    length: Duration,
    interrupt: &Interrupt,
) -> Result<Measured, String> {
    if !place.is_empty() {
        process::pin_current_thread(place).map_err(|error| format!("a thread cannot be pinned: {error}"))?;
    }
    let once = || match engine.run(inputs, interrupt) {
        Ok(_) => Ok(true),
        Err(RunError::Terminated) => Ok(false),
        Err(RunError::Failed(reason)) => Err(reason),
    };
    let (mut latencies, mut goes_on) = (Latencies::default(), once()?);
    let begun = Instant::now();
    let mut last = begun;
    while goes_on && last < begun + length {
        goes_on = once()?;
        if goes_on {
            let now = Instant::now();
            latencies.record(now - last);
            last = now;
        }
    }
    Ok(Measured::new(latencies, last - begun))
}
