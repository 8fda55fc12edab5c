//! A model by itself: what it takes and gives, what its maker wrote down, how long it takes, and whether rows may share a run.

use super::trial;
use crate::model::{
    engine::{Engine, Interrupt, RunError, Signature},
    metadata::Metadata,
    onnx::{LoadError, Onnx, Options, Runtime},
    private::{self, Private},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// What there is to know of a model.
#[derive(Debug)]
pub struct Inspection {
    /// What it takes and gives.
    pub signature: Signature,
    /// What it says of itself.
    pub metadata: Metadata,
    /// How long it took to load.
    pub loaded: Duration,
    /// Why requests cannot share runs, if so.
    pub alone: Option<String>,
    /// Runs of more and more rows; or why it cannot be run on numbers that are made up.
    pub timings: Result<Vec<Timing>, String>,
}

/// How long runs of so many rows take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Rows in a run; `None` where the model has none.
    pub rows: Option<usize>,
    /// The first, in which memory is got and kernels are set up.
    pub first: Duration,
    /// Half of the later ones took longer.
    pub median: Duration,
    /// How many those were.
    pub runs: usize,
}

/// Why there is nothing to say of it.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Its files.
    #[error(transparent)]
    Files(#[from] private::Error),
    /// It is no model, or not one that can be run here.
    #[error(transparent)]
    Engine(#[from] LoadError),
}

/// How long runs of one size are repeated.
const TIME: Duration = Duration::from_millis(500);
/// And how often.
const RUNS: usize = 2000;

/// Loads the model at `path` and runs it on numbers that are made up, with up to `options.usual_rows` rows.
///
/// # Errors
/// Where it cannot be loaded.
pub fn inspect(runtime: &Runtime, path: &Path, options: &Options) -> Result<Inspection, InspectError> {
    let private = Private::of(path, None)?;
    let begun = Instant::now();
    let engine = Onnx::load(runtime, private.path(), options)?;
    let loaded = begun.elapsed();
    // ONNX Runtime has read it: it is a message.
    let metadata = Metadata::of(private.path()).unwrap_or_default();
    drop(private);
    let signature = engine.signature().clone();
    // Before the trial, whose runs would be the first.
    let timings = timings(&engine, options.usual_rows);
    let alone = if signature.has_free_rows() {
        trial::rows_are_independent(&engine, &Interrupt::default()).reason_against()
    } else {
        Some(signature.fixed_rows())
    };
    Ok(Inspection { signature, metadata, loaded, alone, timings })
}

fn timings(engine: &Onnx, usual_rows: usize) -> Result<Vec<Timing>, String> {
    let free = engine.signature().has_free_rows();
    let sizes = if free && usual_rows > 1 { vec![1, usual_rows] } else { vec![1] };
    let timing = |rows: usize| {
        let (inputs, first) = trial::first_run(engine, rows, &Interrupt::default())?;
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < TIME && times.len() < RUNS {
            let begun = Instant::now();
            let ran = engine.run(&inputs, &Interrupt::default());
            ran.map_err(|error: RunError| error.to_string())?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or(first);
        Ok(Timing { rows: free.then_some(rows), first, median, runs: times.len() })
    };
    sizes.into_iter().map(timing).collect()
}
