//! Log lines on standard error, as text or JSON.

use crate::telemetry::access;
use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt, registry::LookupSpan, reload,
    util::SubscriberInitExt,
};

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The least that is worth a line.
    pub level: Level,
    /// JSON, a line an event; else text.
    pub json: bool,
    /// Whether requests are logged.
    pub access: bool,
}

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

/// Starts logging. Only the first call in a process counts.
pub fn start(options: Options) -> Filter {
    let (filter, handle) = reload::Layer::new(targets(options.level, options.access));
    let _ = tracing_subscriber::registry().with(layer(options).with_filter(filter)).try_init();
    Filter(handle)
}

fn targets(level: Level, access: bool) -> Targets {
    let access = if access { Level::INFO.into() } else { LevelFilter::OFF };
    Targets::new().with_default(level).with_target(access::TARGET, access)
}

fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(options: Options) -> Box<dyn Layer<S> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if options.json {
        layer.json().flatten_event(true).boxed()
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        layer.with_ansi(colours).with_target(false).compact().boxed()
    }
}
