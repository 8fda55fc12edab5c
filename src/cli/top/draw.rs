//! Lines onto a terminal: what each ink looks like there, and the help above all.

use super::{
    super::{
        line::Line,
        paint::{Ink, Paint},
    },
    live::Live,
};
use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Modifier, Style},
    text,
    widgets::{Block, Clear, Paragraph},
};
use std::time::Instant;

const HELP: &str = "\
 q  Esc  Ctrl-C   quit; Ctrl-Z stops until fg
 s                sort models by name, requests/s, queue,
                  run time, failures
 p  Space         pause, and go on
 Up  Down  PgUp   scroll the models
 PgDn Home End

 Figures are those of the last interval, times are means
 unless they say p50 or p99; - is not known yet.
 WAIT   in the queue       BATCH  rows in a run
 RUN    of the model       QUEUE  rows waiting / allowed
 SLOW   a run over workers.slow_after: a spare works
 STUCK  a run that did not end when it was told to

 any key          back";

pub(super) fn draw(frame: &mut Frame<'_>, live: &Live, at: Instant, paint: Paint) {
    let area = frame.area();
    let lines = live.view(at, true).lines(area.width.into(), area.height.into());
    for (line, y) in lines.iter().zip(area.y..) {
        frame.buffer_mut().set_line(area.x, y, &styled(line, paint), area.width);
    }
    if live.shows_help() {
        help(frame, area);
    }
}

fn styled(line: &Line, paint: Paint) -> text::Line<'_> {
    line.0.iter().map(|piece| text::Span::styled(&*piece.text, style(piece.ink, paint))).collect()
}

/// Without colours, what is wrong is still louder than what is not.
fn style(ink: Ink, paint: Paint) -> Style {
    let plain = Style::new();
    match (ink, paint.has_colours()) {
        (Ink::Plain, _) => plain,
        (Ink::Title, _) => plain.add_modifier(Modifier::BOLD),
        (Ink::Aside, _) => plain.add_modifier(Modifier::DIM),
        (Ink::Good, true) => plain.fg(Color::Green),
        (Ink::Good, false) => plain,
        (Ink::Warn, true) => plain.fg(Color::Yellow),
        (Ink::Warn, false) => plain.add_modifier(Modifier::BOLD),
        (Ink::Bad, true) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
        (Ink::Bad, false) => plain.add_modifier(Modifier::REVERSED),
    }
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let (columns, rows) = (
        HELP.lines().map(|line| line.chars().count()).max().unwrap_or_default() + 3,
        HELP.lines().count() + 2,
    );
    let fit = |wanted: usize, there: u16| u16::try_from(wanted).unwrap_or(u16::MAX).min(there);
    let (width, height) = (fit(columns, area.width), fit(rows, area.height));
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let place = Rect { x, y, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title(" predictd top ")), place);
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
