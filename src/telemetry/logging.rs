//! Log lines on standard error, as text or JSON.

use crate::telemetry::access;
use tracing::Subscriber;
use tracing_subscriber::{
    Layer, filter::Targets, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The least that is worth a line.
    pub level: tracing::Level,
    /// JSON, a line an event; else text.
    pub json: bool,
    /// Whether requests are logged.
    pub access: bool,
}

/// Starts logging. Only the first call in a process counts.
pub fn start(options: Options) {
    let access =
        if options.access { tracing::Level::INFO.into() } else { tracing::level_filters::LevelFilter::OFF };
    let targets = Targets::new().with_default(options.level).with_target(access::TARGET, access);
    let _ = tracing_subscriber::registry().with(layer(options).with_filter(targets)).try_init();
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
