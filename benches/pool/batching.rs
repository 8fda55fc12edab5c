//! What sharing runs gives to many clients, and takes from one.

use crate::{
    Length, Table, Wanted,
    clients::{ask_and_wait, block_on, closed_loop},
    dense::SMALL,
    median, pool,
    throughput::bare_loop,
};
use predictd::pool::Batching;
use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

const CLIENTS: usize = 32;

pub(crate) fn measure(table: &mut Table, length: &Length) -> Result<(), Box<dyn Error>> {
    let (pool, workers) = pool(None)?;
    let input = SMALL.input(1)?;
    // One copy of the weights, so that no lane finds them in the cache where another does not.
    let engine = SMALL.load(CLIENTS)?;
    let lane = |joins, max_rows| {
        let batching = Batching { has_rows: true, joins, max_rows, max_delay: Duration::ZERO, queue: 256 };
        pool.open("dense", Arc::clone(&engine), batching)
    };
    let (alone, eight, full) = (lane(false, 1), lane(true, 8), lane(true, CLIENTS));
    let lanes = [&alone, &eight, &full];
    let half = length.round / 2;
    for lane in lanes {
        closed_loop(lane, &input, CLIENTS, half)?;
    }

    let mut rates = [const { Vec::new() }; 3];
    let mut rows = [const { Vec::new() }; 3];
    for round in 0..length.rounds {
        let mut order = [0, 1, 2];
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let got = closed_loop(lanes[at], &input, CLIENTS, length.round)?;
            rates[at].push(got.rate);
            rows[at].push(got.rows_per_run);
        }
    }
    let ratios = |of: usize| -> f64 {
        let mut ratios: Vec<f64> = rates[of].iter().zip(&rates[0]).map(|(own, alone)| own / alone).collect();
        median(&mut ratios)
    };
    let (by_eight, by_all) = (ratios(1), ratios(2));
    // What there is to be had: with two workers each has half of the clients' rows at a time.
    let share = CLIENTS.div_ceil(workers);
    let (one, shared) = (SMALL.input(1)?, SMALL.input(share)?);
    let mut limits = Vec::new();
    for _ in 0..length.rounds {
        let rows = bare_loop(&engine, &shared, half)? * share as f64;
        limits.push(rows / bare_loop(&engine, &one, half)?);
    }
    table.title(format!("batching: dense model of {} MB, {workers} workers", SMALL.bytes() / 1_000_000));
    table.figure("rows/s of 32 clients, each row by itself", median(&mut rates[0]), "", Wanted::Any);
    table.figure("  runs of at most 8 rows, against that", by_eight, "x", Wanted::Any);
    table.figure("    rows in a run", median(&mut rows[1]), "", Wanted::Any);
    table.figure("  runs of at most 32 rows, against that", by_all, "x", Wanted::AtLeast(3.0));

    table.figure("    rows in a run", median(&mut rows[2]), "", Wanted::Any);
    let name = format!("  runs of {share} rows in a bare loop, against single rows there");
    table.figure(&name, median(&mut limits), "x", Wanted::Any);

    // By turns, so that both lanes have the same neighbours, and none is always the first.
    let mut latencies = [const { Vec::new() }; 2];
    let mut order = [(0, &alone), (1, &full)];
    let begun = Instant::now();
    while begun.elapsed() < length.round * 2 {
        for (at, lane) in order {
            let asked = Instant::now();
            block_on(ask_and_wait(lane, &input))?;
            latencies[at].push(asked.elapsed().as_secs_f64() * 1e6);
        }
        order.reverse();
    }
    let [alone, joined] = latencies.each_mut().map(|latencies| median(latencies));
    table.figure("one client, each row by itself: median", alone, "us", Wanted::Any);
    table.figure(
        "  added where rows may share runs",
        joined - alone,
        "us",
        Wanted::AtMost((alone / 20.0).round()),
    );
    Ok(())
}
