//! What is known and what was pressed: everything on the screen follows from it.

use super::{
    super::amounts::time,
    figures::{Figures, Order},
    history::{History, Point},
    screen::View,
};
use crate::telemetry::snapshot::Snapshot;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// All of it.
#[derive(Debug)]
pub(super) struct Live {
    shown: Pair,
    /// Ahead of what is shown, in a pause.
    newest: Pair,
    heard: Instant,
    silence: Option<String>,
    interval: Duration,
    order: Order,
    skipped: usize,
    paused: bool,
    help: bool,
}

/// Two snapshots, one after the other, and what came before.
#[derive(Clone, Debug)]
struct Pair {
    before: Option<Arc<Snapshot>>,
    now: Arc<Snapshot>,
    history: History,
}

impl Pair {
    fn figures(&self, order: Order) -> Figures<'_> {
        Figures::of(&self.now, self.before.as_deref(), order)
    }
}

/// What follows from a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    Quit,
    /// As a job of the shell, to be continued.
    Stop,
}

/// Models that a key for a page scrolls past.
const PAGE: usize = 10;

/// How much later than expected an answer may come before that is said.
const LATE: Duration = Duration::from_secs(2);

impl Live {
    pub(super) fn new(first: Arc<Snapshot>, interval: Duration, at: Instant) -> Self {
        let pair = Pair { before: None, now: first, history: History::default() };
        Self {
            shown: pair.clone(),
            newest: pair,
            heard: at,
            silence: None,
            interval,
            order: Order::Name,
            skipped: 0,
            paused: false,
            help: false,
        }
    }

    /// Takes what a look has shown.
    pub(super) fn see(&mut self, seen: Result<Arc<Snapshot>, String>, at: Instant) {
        match seen {
            Ok(now) => {
                let before = std::mem::replace(&mut self.newest.now, now);
                self.newest.before = Some(before);
                let point = Point::of(&self.newest.figures(self.order));
                self.newest.history.push(point);
                (self.heard, self.silence) = (at, None);
                if !self.paused {
                    self.shown = self.newest.clone();
                }
            }
            Err(reason) => self.silence = Some(reason),
        }
    }

    /// Why the last look has shown nothing, if so.
    pub(super) fn silence(&self) -> Option<&str> {
        self.silence.as_deref()
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Then {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Then::Quit,
            KeyCode::Char('z') if key.modifiers.contains(KeyModifiers::CONTROL) => return Then::Stop,
            _ => {}
        }
        // Whatever key it is: it was pressed to see the rest again.
        if std::mem::take(&mut self.help) && key.code != KeyCode::Char('q') {
            return Then::GoOn;
        }
        let last = self.shown.now.models.len().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Then::Quit,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('p' | ' ') => {
                self.paused = !self.paused;
                if !self.paused {
                    self.shown = self.newest.clone();
                }
            }
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Down | KeyCode::Char('j') => self.skipped += 1,
            KeyCode::Up | KeyCode::Char('k') => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageDown => self.skipped += PAGE,
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(PAGE),
            KeyCode::Home => self.skipped = 0,
            KeyCode::End => self.skipped = last,
            _ => {}
        }
        self.skipped = self.skipped.min(last);
        Then::GoOn
    }

    pub(super) fn shows_help(&self) -> bool {
        self.help
    }

    /// What is to be seen at that time.
    pub(super) fn view(&self, at: Instant, has_keys: bool) -> View<'_> {
        let silent = at.saturating_duration_since(self.heard);
        let reason = match &self.silence {
            Some(reason) => Some(reason.clone()),
            None => (silent > self.interval + LATE).then(|| "the server does not answer".to_owned()),
        };
        let every = format!("every {}", time(Some(self.interval.as_secs_f64())));
        View {
            figures: self.shown.figures(self.order),
            history: Some(&self.shown.history).filter(|_| has_keys),
            order: self.order,
            skipped: self.skipped,
            mode: if self.paused { "PAUSED".into() } else { every },
            silence: reason.map(|reason| (reason, silent.as_secs_f64())),
            has_keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(uptime_s: f64) -> Arc<Snapshot> {
        let models = vec![Default::default(); 3];
        Arc::new(Snapshot { uptime_s, models, ..Snapshot::default() })
    }

    fn press(live: &mut Live, code: KeyCode) -> Then {
        live.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn a_pause_holds_what_is_shown_and_its_end_shows_the_newest() {
        let begun = Instant::now();
        let mut live = Live::new(snapshot(1.0), Duration::from_secs(1), begun);
        live.see(Ok(snapshot(2.0)), begun);
        press(&mut live, KeyCode::Char('p'));
        live.see(Ok(snapshot(3.0)), begun);
        live.see(Ok(snapshot(4.0)), begun);
        let shown = |live: &Live| {
            let view = live.view(begun, true);
            (view.figures.now.uptime_s, view.figures.requests, view.mode)
        };
        assert_eq!(shown(&live), (2.0, Some(0.0), "PAUSED".into()));
        press(&mut live, KeyCode::Char('p'));
        assert_eq!(shown(&live), (4.0, Some(0.0), "every 1.0 s".into()));
    }

    #[test]
    fn silence_is_said_with_its_reason_until_an_answer_comes() {
        let begun = Instant::now();
        let mut live = Live::new(snapshot(1.0), Duration::from_secs(1), begun);
        let silence = |live: &Live, after| live.view(begun + Duration::from_secs(after), true).silence;
        assert_eq!(silence(&live, 2), None);
        assert_eq!(silence(&live, 4), Some(("the server does not answer".into(), 4.0)));
        live.see(Err("gone".into()), begun + Duration::from_secs(5));
        assert_eq!(silence(&live, 6), Some(("gone".into(), 6.0)));
        live.see(Ok(snapshot(1.0)), begun + Duration::from_secs(7));
        assert_eq!(silence(&live, 7), None);
    }

    #[test]
    fn keys_do_what_the_help_says() {
        let mut live = Live::new(snapshot(1.0), Duration::from_secs(1), Instant::now());
        for (code, skipped) in [
            (KeyCode::Down, 1),
            (KeyCode::PageDown, 2),
            (KeyCode::Up, 1),
            (KeyCode::Home, 0),
            (KeyCode::End, 2),
            (KeyCode::PageUp, 0),
        ] {
            assert_eq!(press(&mut live, code), Then::GoOn);
            assert_eq!(live.skipped, skipped, "{code:?}");
        }
        press(&mut live, KeyCode::Char('s'));
        assert_eq!(live.order, Order::Requests);
        press(&mut live, KeyCode::Char('?'));
        assert!(live.shows_help());
        assert_eq!(press(&mut live, KeyCode::Esc), Then::GoOn, "it closes the help");
        assert!(!live.shows_help());
        assert_eq!(press(&mut live, KeyCode::Esc), Then::Quit);
        assert_eq!(press(&mut live, KeyCode::Char('q')), Then::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(live.press(interrupt), Then::Quit);
        let suspend = KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL);
        assert_eq!(live.press(suspend), Then::Stop);
        assert_eq!(press(&mut live, KeyCode::Char('c')), Then::GoOn);
    }
}
