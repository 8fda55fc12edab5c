//! Log lines, as text or JSON, on standard error or in files.
//!
//! As there is one log in a process, what can be done with it are plain functions.

use super::{
    access,
    sink::{Line, Sink, Target},
};
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
    path::PathBuf,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan, reload,
    util::SubscriberInitExt,
};

/// How the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The least that is worth a line.
    pub level: Level,
    /// JSON, a line an event; else text.
    pub json: bool,
    /// Where to; standard error if not given.
    pub file: Option<PathBuf>,
    /// Whether requests are logged.
    pub access: bool,
    /// Where these are logged, if not with the rest.
    pub access_file: Option<PathBuf>,
}

/// A file of the log that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {path} cannot be opened: {2}", path = .1.display())]
pub struct OpenError(&'static str, PathBuf, io::Error);

/// What may be changed of a log that has been started.
#[derive(Clone, Debug)]
pub struct Filter(reload::Handle<Targets, Registry>);

impl Filter {
    /// Logs by `level` from now on, and requests or not.
    pub fn set(&self, level: Level, access: bool) {
        // Where the log is not ours, but a library's user's, there is nothing to change.
        let _ = self.0.reload(targets(level, access));
    }
}

/// The log of this process.
static SINKS: OnceLock<Sinks> = OnceLock::new();

/// Starts logging. Only the first call in a process counts.
///
/// # Errors
/// Where a file cannot be opened.
pub fn start(options: &Options) -> Result<Filter, OpenError> {
    let (filter, handle) = reload::Layer::new(targets(options.level, options.access));
    let sinks = Sinks::open(options)?;
    let layer = layer(options, sinks.clone()).with_filter(filter);
    if tracing_subscriber::registry().with(layer).try_init().is_ok() {
        let _ = SINKS.set(sinks);
        panic::set_hook(Box::new(panicked));
    }
    Ok(Filter(handle))
}

fn targets(level: Level, access: bool) -> Targets {
    let access = if access { Level::INFO.into() } else { LevelFilter::OFF };
    Targets::new().with_default(level).with_target(access::TARGET, access)
}

/// Opens the files of the log anew, as after they were moved away.
pub fn reopen() {
    if let Some(sinks) = SINKS.get() {
        sinks.all().for_each(Sink::reopen);
    }
}

/// Waits until everything is written that was logged, for at most `patience`.
pub fn flush(patience: Duration) {
    let end = Instant::now() + patience;
    let sinks = SINKS.get().into_iter().flat_map(Sinks::all);
    sinks.for_each(|sink| _ = sink.flush(end.saturating_duration_since(Instant::now())));
}

fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(
    options: &Options,
    sinks: Sinks,
) -> Box<dyn Layer<S> + Send + Sync> {
    // One layer writes to both, so that there is colour for all or for none.
    let colours = options.file.is_none() && options.access_file.is_none() && io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(sinks);
    if options.json {
        layer.json().flatten_event(true).boxed()
    } else {
        layer.with_ansi(colours).with_target(false).compact().boxed()
    }
}

/// A panic is a line like any other: on standard error it could wait for somebody to read it.
fn panicked(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload_as_str().unwrap_or("something that is no text");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let thread = thread.name().unwrap_or("unnamed");
    tracing::error!(thread, location, backtrace, "panicked: {message}");
}

/// Where lines go, by what they are about.
#[derive(Clone, Debug)]
struct Sinks {
    main: Sink,
    access: Option<Sink>,
}

impl Sinks {
    fn open(options: &Options) -> Result<Self, OpenError> {
        let open = |key: &'static str, path: &Option<PathBuf>| {
            let target = path.clone().map_or(Target::Stderr, Target::File);
            Sink::start(target).map_err(|error| OpenError(key, path.clone().unwrap_or_default(), error))
        };
        // Two writers of one file would be in each other's way.
        let apart = options.access_file.is_some() && options.access_file != options.file;
        let access = apart.then(|| open("log.access_file", &options.access_file)).transpose()?;
        Ok(Self { main: open("log.file", &options.file)?, access })
    }

    /// The main one last, since what is to be said of the other is said there.
    fn all(&self) -> impl Iterator<Item = &Sink> {
        self.access.iter().chain([&self.main])
    }
}

impl<'a> MakeWriter<'a> for Sinks {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        self.main.line(true)
    }

    /// The access log is as long as there are requests, and can wait for a moment; anything else is news.
    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        match (&self.access, event.target() == access::TARGET) {
            (_, false) => self.main.line(true),
            (None, true) => self.main.line(false),
            (Some(access), true) => access.line(false),
        }
    }
}
