//! What is left of the model's own speed: all workers, against as many pinned threads that do nothing but run it.

use crate::{
    Length, Table, Wanted,
    clients::closed_loop,
    dense::{self, SMALL},
    median, pool,
};
use predictd::{
    Tensor,
    model::engine::{Engine, Interrupt},
    os::{cpus, process},
    pool::Batching,
};
use std::{
    error::Error,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// A model, what it is asked, and how it is called here.
struct Subject {
    name: &'static str,
    engine: Arc<dyn Engine>,
    input: Vec<Tensor>,
}

pub(crate) fn measure(table: &mut Table, length: &Length) -> Result<(), Box<dyn Error>> {
    let Subject { name, engine, input } = subject()?;
    let (pool, workers) = pool(None)?;
    let batching =
        Batching { has_rows: true, joins: false, max_rows: 8, max_delay: Duration::ZERO, queue: 256 };
    let lane = pool.open("throughput", Arc::clone(&engine), batching);
    // So many that a worker always finds something.
    let clients = workers * 4;
    closed_loop(&lane, &input, clients, length.round / 2)?;
    let (mut ratios, mut bare_rates) = (Vec::new(), Vec::new());
    for round in 0..length.rounds {
        let (bare, pooled) = if round % 2 == 0 {
            let bare = bare_loop(&engine, &input, length.round)?;
            (bare, closed_loop(&lane, &input, clients, length.round)?.rate)
        } else {
            let pooled = closed_loop(&lane, &input, clients, length.round)?.rate;
            (bare_loop(&engine, &input, length.round)?, pooled)
        };
        ratios.push(pooled / bare);
        bare_rates.push(bare);
    }
    table.title(format!("throughput: {name}, {workers} workers"));
    table.figure("runs/s in a bare loop on as many pinned threads", median(&mut bare_rates), "", Wanted::Any);
    table.figure("  by the pool, against that", median(&mut ratios), "x", Wanted::AtLeast(0.97));
    Ok(())
}

/// EfficientNet-lite0 if it has been fetched, since that is what is served; else what can be made here.
fn subject() -> Result<Subject, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet/model.onnx");
    if !path.exists() {
        let name = "dense model, 8 rows (models/fetch.py efficientnet brings a better one)";
        return Ok(Subject { name, engine: SMALL.load(8)?, input: SMALL.input(8)? });
    }
    let engine = dense::load(&path, 8)?;
    let spec = engine.signature().inputs.first().ok_or("the model takes nothing")?;
    let shape: Vec<usize> = spec.shape.iter().map(|dim| dim.unwrap_or(1)).collect();
    let size = shape.iter().product::<usize>() * spec.datatype.size().ok_or("the model takes strings")?;
    let input = vec![Tensor::from_bytes(spec.datatype, shape, vec![1; size].into())?];
    Ok(Subject { name: "EfficientNet-lite0", engine, input })
}

/// Runs/s of a thread on each core that does nothing else.
pub(crate) fn bare_loop(
    engine: &Arc<dyn Engine>,
    input: &[Tensor],
    length: Duration,
) -> Result<f64, Box<dyn Error>> {
    let cores = cpus::allowed()?;
    let begun = Instant::now();
    let one = |core| -> Result<u32, String> {
        process::pin_current_thread(&[core]).map_err(|error| error.to_string())?;
        let mut runs = 0;
        while begun.elapsed() < length {
            engine.run(input, &Interrupt::default()).map_err(|error| error.to_string())?;
            runs += 1;
        }
        Ok(runs)
    };
    let runs: Result<u32, String> = thread::scope(|scope| {
        let threads: Vec<_> = cores.into_iter().map(|core| scope.spawn(move || one(core))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a run panicked".to_owned())?).sum()
    });
    Ok(f64::from(runs?) / begun.elapsed().as_secs_f64())
}
