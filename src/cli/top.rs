//! `predictd top`: how a running server stands, again and again; without a terminal, once.

mod columns;
mod draw;
mod figures;
mod history;
mod live;
mod screen;

use super::{
    UNAVAILABLE,
    admin::{Admin, Server, text},
    paint::{self, Paint},
};
use crate::{
    config::units,
    os::signals::{Signal, Signals},
    telemetry::snapshot::Snapshot,
};
use anyhow::Context;
use clap::Args;
use crossterm::event::{self, Event, KeyEventKind};
use http::StatusCode;
use live::{Live, Then};
use ratatui::DefaultTerminal;
use std::{
    env,
    io::{IsTerminal, Write, stdout},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

#[derive(Args, Debug)]
pub(super) struct Top {
    #[command(flatten)]
    server: Server,
    /// The time from one look to the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print one screen and end, as where standard output is no terminal; figures are those of one interval
    #[arg(long)]
    once: bool,
}

/// How long a server may take to answer a look.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the screen is drawn at least, for what it says of time.
const REDRAWN: Duration = Duration::from_secs(1);

fn interval(text: &str) -> Result<Duration, String> {
    let units::Duration(interval) = text.parse().map_err(|error: units::Error| error.to_string())?;
    let bounds = Duration::from_millis(100)..=Duration::from_secs(3600);
    bounds.contains(&interval).then_some(interval).ok_or_else(|| "from 100ms to 1h".to_owned())
}

/// What happens while it is shown.
enum News {
    /// By keyboard or window; an error where there is neither any more.
    Input(std::io::Result<Event>),
    /// The server was looked at.
    Seen(Result<Arc<Snapshot>, String>),
}

impl Top {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let admin = match self.server.clone().find()? {
            Ok(admin) => admin,
            Err(silence) => return Ok(silence.report()),
        };
        let first = match look(&admin) {
            Ok(snapshot) => snapshot,
            Err(reason) => {
                eprintln!("predictd: {reason}");
                return Ok(UNAVAILABLE.into());
            }
        };
        let live = Live::new(first, self.interval, Instant::now());
        if self.once || !stdout().is_terminal() || paint::is_dumb() {
            return self.print(&admin, live);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(async {
            // First: a signal from here on leaves the terminal as it was.
            let signals = Signals::take(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup])
                .context("signals cannot be waited for")?;
            let mut terminal = ratatui::try_init()
                .inspect_err(|_| ratatui::restore())
                .context("the terminal cannot be drawn on")?;
            let ended = self.watch(admin, live, &mut terminal, signals).await;
            ratatui::try_restore().context("the terminal cannot be set back")?;
            ended
        });
        runtime.shutdown_background();
        ended
    }

    /// One screen, of the time from now to the next look.
    fn print(&self, admin: &Admin, mut live: Live) -> anyhow::Result<ExitCode> {
        let end = Instant::now() + self.interval;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        live.see(look(admin), Instant::now());
        if let Some(reason) = live.silence() {
            eprintln!("predictd: {reason}");
            return Ok(UNAVAILABLE.into());
        }
        let mut out = stdout().lock();
        for line in live.view(Instant::now(), false).lines(columns(), usize::MAX) {
            // Where nobody reads any more, there is nobody to tell.
            if writeln!(out, "{}", line.to_string().trim_end()).is_err() {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn watch(
        &self,
        admin: Admin,
        mut live: Live,
        terminal: &mut DefaultTerminal,
        mut signals: Signals,
    ) -> anyhow::Result<ExitCode> {
        let (sender, mut news) = mpsc::channel(16);
        looking(admin, self.interval, sender.clone());
        listening(sender);
        let paint = Paint::for_stdout();
        loop {
            terminal.draw(|frame| draw::draw(frame, &live, Instant::now(), paint))?;
            tokio::select! {
                next = news.recv() => match next.context("nothing watches the server any more")? {
                    News::Seen(seen) => live.see(seen, Instant::now()),
                    News::Input(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                        match live.press(key) {
                            Then::GoOn => {}
                            Then::Quit => return Ok(ExitCode::SUCCESS),
                            Then::Stop => stop_until_continued(terminal)?,
                        }
                    }
                    // Another size, for one: the next drawing finds out.
                    News::Input(Ok(_)) => {}
                    News::Input(Err(error)) => return Err(error).context("the keyboard cannot be read"),
                },
                signal = signals.next() => return Ok(signal.exit_code().into()),
                () = tokio::time::sleep(REDRAWN) => {}
            }
        }
    }
}

/// What Ctrl-Z does where the terminal itself minds it.
fn stop_until_continued(terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
    ratatui::try_restore()?;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
    *terminal = ratatui::try_init()?;
    Ok(())
}

/// As wide as is said, or as the terminal is; else as wide as the program's help.
fn columns() -> usize {
    let said = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || rustix::termios::tcgetwinsize(stdout()).ok().map(|size| size.ws_col.into());
    said.or_else(terminal).filter(|columns| *columns > 0).unwrap_or(100)
}

fn look(admin: &Admin) -> Result<Arc<Snapshot>, String> {
    match admin.ask("GET", "/status", PATIENCE) {
        Ok((StatusCode::OK, status)) => serde_json::from_value(status)
            .map(Arc::new)
            .map_err(|error| format!("{admin} is of another version than this program: {error}")),
        Ok((status, error)) => Err(format!("{admin} answers {status}: {}", text(&error, "error"))),
        Err(silence) => Err(silence.to_string()),
    }
}

/// Looks at the server again and again, on a thread that may have to wait for it.
fn looking(admin: Admin, interval: Duration, news: mpsc::Sender<News>) {
    thread::spawn(move || {
        let mut next = Instant::now() + interval;
        loop {
            while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            {
                thread::park_timeout(left);
            }
            next = Instant::now() + interval;
            if news.blocking_send(News::Seen(look(&admin))).is_err() {
                return;
            }
        }
    });
}

/// Waits for keys and for windows that change their size, until there are no more.
fn listening(news: mpsc::Sender<News>) {
    thread::spawn(move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if news.blocking_send(News::Input(event)).is_err() || is_last {
                return;
            }
        }
    });
}
