//! How requests and their times went lately, as a line of bars each.

use super::{
    super::{
        amounts::{rate, time},
        line::{Line, Piece},
        paint::Ink,
    },
    figures::Figures,
};
use crate::telemetry::snapshot::Times;
use std::collections::VecDeque;

/// The latest last.
#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<Point>);

/// An interval; `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    requests: Option<f64>,
    p99: Option<f64>,
}

/// As many as fit the widest terminal.
const KEPT: usize = 512;

impl Point {
    pub(super) fn of(figures: &Figures<'_>) -> Self {
        let latency = figures.latency.as_ref();
        Self { requests: figures.requests, p99: latency.and_then(|latency: &Times| latency.p99_s) }
    }
}

impl History {
    pub(super) fn push(&mut self, point: Point) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(point);
    }

    /// A line of requests, a line of times.
    pub(super) fn lines(&self, room: usize) -> [Line; 2] {
        let requests = |point: &Point| point.requests;
        let line = |label: &str, of: fn(&Point) -> Option<f64>, said: fn(Option<f64>) -> String| {
            const AROUND: usize = 13 + 16;
            let shown: Vec<Option<f64>> =
                self.0.iter().rev().take(room.saturating_sub(AROUND)).map(of).collect();
            let most = shown.iter().flatten().copied().fold(0.0, f64::max);
            let bars: String = shown.iter().rev().map(|value| bar(*value, most)).collect();
            let most = format!("  at most {}", said(Some(most)));
            Line(vec![
                Piece::new(format!("{label:13}"), Ink::Title),
                Piece::new(bars, Ink::Good),
                Piece::new(most, Ink::Aside),
            ])
        };
        [line("requests/s", requests, rate), line("p99", |point| point.p99, time)]
    }
}

/// In eighths of the most there was; nothing at all is the lowest.
fn bar(value: Option<f64>, most: f64) -> char {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let Some(value) = value else { return ' ' };
    let eighth = if most > 0.0 { (value / most * 8.0).ceil() as usize } else { 0 };
    BARS[eighth.saturating_sub(1).min(7)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_parts_of_the_most() {
        let mut history = History::default();
        for requests in [None, Some(0.0), Some(10.0), Some(45.0), Some(80.0), Some(79.0)] {
            history.push(Point { requests, p99: requests.map(|requests| requests / 1e3) });
        }
        let shown = |room| history.lines(room).map(|line| line.to_string());
        assert_eq!(shown(80), ["requests/s    ▁▁▅██  at most 80", "p99           ▁▁▅██  at most 80 ms"]);
        assert_eq!(shown(32)[0], "requests/s   ▅██  at most 80");
        assert_eq!(shown(10)[0], "requests/s     at most 0");
        let many = (0..2 * KEPT).fold(History::default(), |mut history, _| {
            history.push(Point::default());
            history
        });
        assert_eq!(many.0.len(), KEPT);
    }
}
