//! Tests of `draw.rs`.

use super::*;
use crate::telemetry::snapshot::{Snapshot, Worker};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
use std::{sync::Arc, time::Duration};

fn live() -> Live {
    let stuck = Worker { worker: 1, state: "stuck".into(), model: Some("wedge".into()), ..Worker::default() };
    let idle = Worker { worker: 2, state: "idle".into(), ..Worker::default() };
    let now = Snapshot { workers: vec![stuck, idle], pid: 4711, ..Snapshot::default() };
    Live::new(Arc::new(now), Duration::from_secs(1), Instant::now())
}

fn drawn(live: &Live, width: u16, height: u16, paint: Paint) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, live, Instant::now(), paint)).unwrap();
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let symbols: Vec<&str> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
    symbols.chunks(width).map(<[&str]>::concat).collect()
}

/// How the first place of this text looks.
fn look(buffer: &Buffer, text: &str) -> (Color, Modifier) {
    let rows = rows(buffer);
    let place = rows.iter().enumerate().find_map(|(y, row)| Some((row.find(text)?, y)));
    let (x, y) = place.unwrap_or_else(|| panic!("no '{text}' in\n{}", rows.join("\n")));
    let cell = &buffer[(u16::try_from(x).unwrap(), u16::try_from(y).unwrap())];
    (cell.fg, cell.modifier)
}

#[test]
fn what_is_stuck_stands_out_with_and_without_colours() {
    let live = live();
    let coloured = drawn(&live, 80, 24, Paint::coloured());
    assert_eq!(look(&coloured, "STUCK"), (Color::Red, Modifier::BOLD));
    assert_eq!(look(&coloured, "wedge"), (Color::Red, Modifier::BOLD), "all of its row");
    assert_eq!(look(&coloured, "WORKER"), (Color::Reset, Modifier::BOLD));
    let plain = drawn(&live, 80, 24, Paint::plain());
    assert_eq!(look(&plain, "STUCK"), (Color::Reset, Modifier::REVERSED));
    assert!(plain.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}

#[test]
fn the_last_row_has_the_keys_on_every_size() {
    for (width, height) in [(80, 24), (200, 50), (45, 8)] {
        let rows = rows(&drawn(&live(), width, height, Paint::plain()));
        assert!(rows[0].starts_with("predictd"), "{rows:?}");
        assert!(rows[rows.len() - 1].starts_with("q quit   s sort: name"), "{rows:?}");
    }
    for (width, height) in [(1, 1), (10, 3), (500, 2)] {
        drawn(&live(), width, height, Paint::coloured());
    }
}

#[test]
fn the_help_is_above_all_and_fits_eighty_columns() {
    let mut live = live();
    live.press(KeyEvent::new(KeyCode::Char('?'), KeyModifiers::NONE));
    let rows = rows(&drawn(&live, 80, 24, Paint::plain()));
    let shown = rows.join("\n");
    assert!(shown.contains("┌ predictd top ─") && shown.contains(" any key          back"), "{shown}");
    drawn(&live, 8, 4, Paint::plain());
}
