//! What workers take beside the weights: each number of them in a process of its own, which has run nothing else.

use crate::{
    Table, Wanted,
    clients::{ask_and_wait, block_on},
    dense::LARGE,
    pool,
};
use futures_util::future::join_all;
use predictd::{os::process, pool::Batching};
use std::{collections::BTreeSet, env, error::Error, fs, process::Command, time::Duration};

/// Makes a process of this program such a one.
pub(crate) const ARGUMENT: &str = "--memory-of-workers";

pub(crate) fn measure(table: &mut Table) -> Result<(), Box<dyn Error>> {
    let weights = LARGE.bytes() as f64 / 1e6;
    table.title(format!("memory: dense model of {weights:.1} MB, after runs on every worker"));
    // So that no child has what making the file leaves behind.
    LARGE.make()?;
    for workers in [1, 2, 8] {
        let child = Command::new(env::current_exe()?).args([ARGUMENT, &workers.to_string()]).output()?;
        let text = String::from_utf8_lossy(&child.stdout);
        let Ok(kib) = text.trim().parse::<f64>() else {
            return Err(format!("no memory to be read: {}", String::from_utf8_lossy(&child.stderr)).into());
        };
        let name = format!("PSS with {workers} workers");
        table.figure(&name, kib * 1024.0 / 1e6, "MB", Wanted::AtMost((1.3 * weights + 40.0).round()));
    }
    Ok(())
}

/// Prints the memory in KiB of a process that has so many workers and one model.
pub(crate) fn child(workers: usize) -> Result<(), Box<dyn Error>> {
    let (pool, _) = pool(Some(workers))?;
    let batching =
        Batching { has_rows: true, joins: true, max_rows: 8, max_delay: Duration::ZERO, queue: 256 };
    let lane = pool.open("dense", LARGE.load(8)?, batching);
    let input = LARGE.input(1)?;
    // A server does so after it has loaded its models.
    process::release_free_memory();
    let mut have_run = BTreeSet::new();
    for _ in 0..1000 {
        let answers = block_on(join_all((0..workers * 8).map(|_| ask_and_wait(&lane, &input))));
        for work in answers {
            have_run.insert(work?.worker);
        }
        if (1..=workers).all(|worker| have_run.contains(&worker)) {
            println!("{}", pss()?);
            return Ok(());
        }
    }
    Err("not every worker has run".into())
}

/// What is ours of the memory, shared pages by share.
fn pss() -> Result<u64, Box<dyn Error>> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
    Ok(line.split_whitespace().next().ok_or("no number")?.parse()?)
}
