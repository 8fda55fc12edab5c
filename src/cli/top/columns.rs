//! What the tables of workers and models have in their columns, and which matter most.

use super::{
    super::{
        amounts::{count, part, rate, time},
        line::{Piece, cut},
        paint::Ink,
        table::Column,
    },
    figures::{ModelFigures, WorkerFigures},
};
use crate::telemetry::snapshot::Times;

type W<'a> = WorkerFigures<'a>;
type M<'a> = ModelFigures<'a>;

/// Cuts what may be cut to the width of a name.
const NAME: Option<usize> = Some(16);

/// Of the table of workers.
pub(super) fn workers<'a>() -> Vec<Column<&'a W<'a>>> {
    vec![
        Column::number("WORKER", 0, |worker| of(worker, worker.now.worker.to_string())),
        Column::number("CORE", 5, |worker| {
            let core = worker.now.cpu.map(|core| core.to_string());
            of(worker, core.unwrap_or_else(|| if worker.now.spare { "spare".into() } else { "-".into() }))
        }),
        Column::text("STATE", 0, |worker| {
            let state = &worker.now.state;
            let loud = matches!(&**state, "slow" | "stuck");
            of(worker, if loud { state.to_uppercase() } else { state.clone() })
        }),
        Column::number("FOR", 1, |worker| {
            let since = (worker.now.state != "idle").then_some(worker.now.for_s);
            of(worker, since.map_or_else(String::new, |since| time(Some(since))))
        }),
        Column {
            least: NAME,
            ..Column::text("MODEL", 0, |worker| of(worker, worker.now.model.clone().unwrap_or_default()))
        },
        Column::text("VER", 4, |worker| of(worker, worker.now.version.clone().unwrap_or_default())),
        Column::number("ROWS", 2, |worker| {
            let rows = worker.now.rows;
            of(worker, if rows > 0 { rows.to_string() } else { String::new() })
        }),
        Column::number("RUNS/S", 2, |worker| of(worker, rate(worker.runs))),
        Column::number("ROWS/S", 3, |worker| of(worker, rate(worker.rows))),
        Column::number("BUSY", 1, |worker| of(worker, part(worker.busy))),
        Column::number("RUNS", 7, |worker| of(worker, count(worker.now.done.executions))),
        Column::number("FAILED", 6, |worker| of(worker, count(worker.now.done.exceptions))),
        Column::text("REQUESTS", 8, |worker| of(worker, worker.now.requests.join(" "))),
    ]
}

/// Slow and stuck ones stand out in all columns.
fn of(worker: &W<'_>, text: String) -> Piece {
    let ink = match &*worker.now.state {
        "stuck" => Ink::Bad,
        "slow" => Ink::Warn,
        "idle" => Ink::Aside,
        _ => Ink::Plain,
    };
    Piece::new(text, ink)
}

/// Of the table of models.
pub(super) fn models<'a>() -> Vec<Column<M<'a>>> {
    vec![
        Column { least: NAME, ..Column::text("MODEL", 0, |model| Piece::plain(model.now.name.clone())) },
        Column::text("VER", 5, |model| Piece::plain(model.now.version.clone().unwrap_or_else(|| "-".into()))),
        Column::text("STATE", 0, |model| {
            let state = &model.now.state;
            match &**state {
                "ready" => Piece::new(state.clone(), Ink::Good),
                "loading" | "unloading" => Piece::new(state.clone(), Ink::Warn),
                _ => Piece::new(state.to_uppercase(), Ink::Bad),
            }
        }),
        Column::number("QUEUE", 0, |model| {
            let (rows, limit) = (model.now.queue_rows, model.now.queue_limit);
            Piece::new(format!("{rows}/{limit}"), fullness(rows, limit))
        }),
        Column::number("REQ/S", 0, |model| Piece::plain(rate(model.requests))),
        Column::number("ROWS/S", 3, |model| Piece::plain(rate(model.rows))),
        Column::number("BATCH", 2, |model| {
            Piece::plain(model.batch.map_or_else(|| "-".into(), |rows| format!("{rows:.1}")))
        }),
        Column::number("WAIT", 2, |model| Piece::plain(mean(model.queue.as_ref()))),
        Column::number("P99", 7, |model| Piece::plain(p99(model.queue.as_ref()))),
        Column::number("PREPARE", 9, |model| Piece::plain(mean(model.prepare.as_ref()))),
        Column::number("RUN", 1, |model| Piece::plain(mean(model.run.as_ref()))),
        Column::number("P99", 6, |model| Piece::plain(p99(model.run.as_ref()))),
        Column::number("FAIL/S", 1, |model| {
            let failing = model.failed.is_some_and(|failed| failed > 0.0);
            Piece::new(rate(model.failed), if failing { Ink::Bad } else { Ink::Plain })
        }),
        Column::number("WORKERS", 8, |model| Piece::plain(model.now.running.to_string())),
        Column::number("ANSWERED", 10, |model| Piece::plain(count(model.now.counts.requests_success))),
        Column::text("FAILED", 11, |model| {
            let failed = model.now.counts.requests_failed.iter().filter(|(_, count)| **count > 0);
            let text: Vec<String> = failed.map(|(reason, of)| format!("{reason} {}", count(*of))).collect();
            Piece::plain(cut(&text.join(", "), 60))
        }),
    ]
}

fn mean(times: Option<&Times>) -> String {
    time(times.and_then(Times::mean_s))
}

fn p99(times: Option<&Times>) -> String {
    time(times.and_then(|times| times.p99_s))
}

/// How loudly something is said that is so full.
pub(super) fn fullness(used: impl TryInto<u64>, limit: impl TryInto<u64>) -> Ink {
    let (used, limit) = (used.try_into().unwrap_or_default(), limit.try_into().unwrap_or_default());
    match used.saturating_mul(10) {
        _ if limit == 0 => Ink::Plain,
        tenths if tenths >= limit.saturating_mul(9) => Ink::Bad,
        tenths if tenths >= limit.saturating_mul(5) => Ink::Warn,
        _ => Ink::Plain,
    }
}
