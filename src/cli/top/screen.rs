//! What is on the screen, as lines: the same for a terminal and for a pipe. Pure, for any size.

use super::{
    super::{
        admin::spoken,
        amounts::{bytes, part, rate, time},
        line::{Line, Piece, cut, flow, wrap},
        paint::Ink,
        table::table,
    },
    columns::{self, fullness},
    figures::{Figures, Order, WorkerFigures},
    history::History,
};
use crate::telemetry::snapshot::{Socket, Times};

/// What is shown, and how.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) figures: Figures<'a>,
    /// Shown where there is room.
    pub(super) history: Option<&'a History>,
    pub(super) order: Order,
    /// Models that are scrolled past.
    pub(super) skipped: usize,
    /// Said at the right of the first line.
    pub(super) mode: String,
    /// Why there is nothing newer, and for how long.
    pub(super) silence: Option<(String, f64)>,
    /// The last line, where there is a keyboard.
    pub(super) has_keys: bool,
}

/// Fewer rows are for what matters most.
const SHORT: usize = 36;

/// Columns that lines are made for, in the least: on narrower terminals they are cut.
const NARROWEST: usize = 40;

impl View<'_> {
    /// The lines of a screen of `columns` and `rows`; of all there is to show, where rows are without end.
    pub(super) fn lines(&self, columns: usize, rows: usize) -> Vec<Line> {
        let room = columns.max(NARROWEST);
        let short = rows < SHORT;
        let mut lines = self.head(room, short);
        if let Some((reason, for_s)) = &self.silence {
            lines = lines.into_iter().map(|line| line.all_in(Ink::Aside)).collect();
            let text = format!("NO ANSWER for {}: {reason}; what is below is older", spoken(*for_s));
            let said = wrap(&text, room).into_iter().map(|text| Line::of(text, Ink::Bad));
            lines.splice(1..1, said);
        }
        let keys = usize::from(self.has_keys);
        let left = rows.saturating_sub(lines.len() + keys);
        lines.extend(self.tables(room, left, short));
        if let Some(history) = self.history.filter(|_| lines.len() + keys + 3 <= rows) {
            lines.push(Line::default());
            lines.extend(history.lines(room));
        }
        if self.has_keys {
            lines.truncate(rows.saturating_sub(keys));
            lines.resize(rows.saturating_sub(keys), Line::default());
            lines.push(Line::of(
                format!("q quit   s sort: {}   p pause   ? help", self.order.name()),
                Ink::Aside,
            ));
        }
        lines.truncate(rows);
        lines.into_iter().map(|line| line.cut(columns)).collect()
    }

    /// Alarms, workers, models, with a line between, in so many rows.
    fn tables(&self, room: usize, rows: usize, short: bool) -> Vec<Line> {
        let alarms = self.alarms(room, short);
        let Figures { workers, models, .. } = &self.figures;
        // Of alarms a few are enough to see that something is wrong.
        let alarm_rows = alarms.len().min((rows / 4).max(3));
        let left = rows.saturating_sub(2 + if alarms.is_empty() { 0 } else { alarm_rows + 1 });
        let (for_workers, for_models) = shares(left, 1 + workers.len(), 1 + models.len());
        let mut workers: Vec<&WorkerFigures<'_>> = workers.iter().collect();
        if workers.len() >= for_workers {
            workers.sort_by_key(|worker| calm(&worker.now.state));
        }
        let workers = table(&columns::workers(), &workers, room);
        let models = table(&columns::models(), models, room);
        let mut lines = Vec::new();
        if !alarms.is_empty() {
            lines.push(Line::default());
            lines.extend(shortened(alarms, 0, alarm_rows));
        }
        lines.push(Line::default());
        lines.extend(with_title(workers, 0, for_workers));
        lines.push(Line::default());
        lines.extend(with_title(models, self.skipped, for_models));
        if self.silence.is_some() {
            lines = lines.into_iter().map(|line| line.all_in(Ink::Aside)).collect();
        }
        lines
    }

    fn head(&self, room: usize, short: bool) -> Vec<Line> {
        let Figures { now, .. } = self.figures;
        let mut first = Line::of(format!("predictd {}", now.version), Ink::Title);
        first.plain(format!(", process {}, ", now.pid));
        let phase_ink = if now.phase == "ready" { Ink::Good } else { Ink::Warn };
        first.push(now.phase.clone(), phase_ink);
        first.plain(format!(", up {}", spoken(now.uptime_s)));
        if !now.ready {
            first.plain(", ");
            first.push("NOT READY", Ink::Bad);
        }
        let gap = room.saturating_sub(first.width() + self.mode.chars().count());
        if gap > 0 {
            first.plain(" ".repeat(gap));
            first.push(self.mode.clone(), Ink::Aside);
        }
        let mut lines = vec![first];
        for (label, pieces) in [
            ("requests", self.requests()),
            ("latency", self.latency()),
            ("process", self.process()),
            ("connections", self.connections()),
            ("waiting at", self.sockets()),
        ] {
            // What matters comes first, and every line for more is one less for models.
            lines.extend(flow(label, pieces, room).into_iter().take(if short { 1 } else { usize::MAX }));
        }
        if let Some(loading) = &now.loading {
            let of = loading.model.as_ref().map_or_else(String::new, |model| format!(", model '{model}'"));
            let text = format!("{}{of}, for {}", loading.operation, spoken(loading.for_s));
            lines.extend(flow("under way", vec![Piece::new(text, Ink::Warn)], room));
        }
        lines
    }

    fn requests(&self) -> Vec<Piece> {
        let figures = &self.figures;
        let mut pieces = vec![Piece::new(format!("{}/s", rate(figures.requests)), Ink::Title)];
        for (class, of) in &figures.classes {
            let ink = match (of.is_some_and(|rate| rate > 0.0), class.as_bytes()[0]) {
                (false, _) | (true, b'1' | b'3') => Ink::Plain,
                (true, b'2') => Ink::Good,
                (true, b'4') => Ink::Warn,
                (true, _) => Ink::Bad,
            };
            pieces.push(Piece::new(format!("{class} {}/s", rate(*of)), ink));
        }
        if figures.now.requests.aborted > 0 {
            pieces.push(Piece::plain(format!("aborted {}/s", rate(figures.aborted))));
        }
        let rejected = |(reason, of): &(&str, f64)| {
            Piece::new(format!("refused: {reason} {}/s", rate(Some(*of))), Ink::Bad)
        };
        pieces.extend(figures.rejected.iter().map(rejected));
        if figures.wires.len() > 1 {
            let wire = |(wire, of): &(&str, Option<f64>)| {
                Piece::new(format!("by {wire} {}/s", rate(*of)), Ink::Aside)
            };
            pieces.extend(figures.wires.iter().map(wire));
        }
        pieces
    }

    fn latency(&self) -> Vec<Piece> {
        let latency = self.figures.latency.as_ref();
        let of = |of: fn(&Times) -> Option<f64>| time(latency.and_then(of));
        vec![
            Piece::plain(format!("mean {}", of(Times::mean_s))),
            Piece::plain(format!("p50 {}", of(|times| times.p50_s))),
            Piece::plain(format!("p99 {}", of(|times| times.p99_s))),
            Piece::plain(format!("{} under way", self.figures.now.requests.under_way)),
        ]
    }

    fn process(&self) -> Vec<Piece> {
        let Figures { now, cpu, .. } = &self.figures;
        let memory = &now.memory;
        let flight =
            format!("in flight {} of {}", bytes(memory.in_flight_bytes), bytes(memory.in_flight_limit_bytes));
        let limit = now.files.limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        vec![
            Piece::plain(format!("cpu {}", part(*cpu))),
            Piece::plain(format!("memory {}", bytes(memory.rss_bytes))),
            Piece::new(flight, fullness(memory.in_flight_bytes, memory.in_flight_limit_bytes)),
            Piece::plain(format!("files {}{limit}", now.files.open)),
        ]
    }

    fn connections(&self) -> Vec<Piece> {
        let Figures { now, accepted, .. } = &self.figures;
        let connections = &now.connections;
        let open = format!("{} open of {}", connections.open, connections.limit);
        let mut pieces = vec![
            Piece::new(open, fullness(connections.open, connections.limit)),
            Piece::plain(format!("{}/s new", rate(*accepted))),
        ];
        if connections.refused > 0 {
            pieces.push(Piece::new(format!("{} refused", connections.refused), Ink::Warn));
        }
        pieces
    }

    /// The fullest first.
    fn sockets(&self) -> Vec<Piece> {
        let mut sockets: Vec<&Socket> = self.figures.now.sockets.iter().collect();
        sockets.sort_by_key(|socket| std::cmp::Reverse(socket.waiting));
        sockets.into_iter().map(socket).collect()
    }

    fn alarms(&self, room: usize, short: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        for alarm in &self.figures.now.alarms {
            let ink = if alarm.kind == "slow" { Ink::Warn } else { Ink::Bad };
            let label = format!("{:>10}  ", spoken(alarm.for_s));
            let room = room.saturating_sub(label.len());
            let text = if short {
                wrap(&alarm.text, usize::MAX).iter().map(|line| cut(line, room)).collect()
            } else {
                wrap(&alarm.text, room)
            };
            for (at, text) in text.into_iter().enumerate() {
                let mut line = Line::of(if at == 0 { label.clone() } else { " ".repeat(label.len()) }, ink);
                line.push(text, ink);
                lines.push(line);
            }
        }
        lines
    }
}

/// Where not all workers have room, those that are seen first are those that matter.
fn calm(state: &str) -> usize {
    ["stuck", "slow", "running", "preparing"].iter().position(|other| *other == state).unwrap_or(4)
}

/// How many rows two tables get of so many: what one does not need is the other's.
fn shares(rows: usize, first: usize, second: usize) -> (usize, usize) {
    if first.saturating_add(second) <= rows {
        return (first, second);
    }
    let half = rows / 2;
    if first <= half {
        (first, rows - first)
    } else if second <= rows - half {
        (rows - second, second)
    } else {
        (half, rows - half)
    }
}

/// A table whose title stays.
fn with_title(mut table: Vec<Line>, skipped: usize, rows: usize) -> Vec<Line> {
    let rest = table.split_off(1);
    table.extend(shortened(rest, skipped, rows.saturating_sub(1)));
    table
}

/// At most so many lines; the last says what is missing.
fn shortened(mut lines: Vec<Line>, skipped: usize, rows: usize) -> Vec<Line> {
    if lines.len() <= rows {
        return lines;
    }
    let kept = rows.saturating_sub(1);
    let skipped = skipped.min(lines.len() - kept);
    lines.drain(..skipped);
    let missing = lines.len() - kept.min(lines.len());
    lines.truncate(kept);
    let missing = match (skipped, missing) {
        (0, missing) => format!("{missing} more"),
        (skipped, 0) => format!("{skipped} above"),
        (skipped, missing) => format!("{skipped} above, {missing} more"),
    };
    lines.push(Line::of(format!("… {missing}"), Ink::Aside));
    lines
}

fn socket(socket: &Socket) -> Piece {
    let address = &socket.address;
    match (socket.waiting, socket.backlog) {
        (Some(waiting), Some(backlog)) => {
            Piece::new(format!("{address} {waiting} of {backlog}"), fullness(waiting, backlog))
        }
        _ => Piece::plain(format!("{address} ?")),
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
