//! predictd as a library: requests of nginx's `uwsgi_pass` (or `fastcgi_pass`, or by HTTP) answered by any tower service, and
//! models that its routes can call.
//!
//! [`start`] loads the models and starts the workers, [`App::infer`] asks a model, [`listen`] and [`serve`] answer requests;
//! [`router`] has the routes of the program, should they be wanted beside your own. The whole of `examples/handler.rs`:
//!
//! ```ignore
#![doc = include_str!("../examples/handler.rs")]
//! ```

pub mod api;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod model;
pub mod os;
pub mod pool;
pub mod recipe;
pub mod server;
pub mod serving;
pub mod telemetry;
pub mod wire;

pub use api::{App, Error, router};
pub use config::Config;
pub use predictd_protocol::inference::{
    tensor::{Datatype, Tensor},
    v2::Input,
};
pub use telemetry::RequestId;
pub use wire::{Handler, Listener};

use anyhow::Context;
use os::signals::{Signal, Signals};
use std::{sync::Arc, time::Duration};
use telemetry::{
    alarms::Alarms,
    logging,
    phase::{Life, Phase},
    traffic::Traffic,
};
use wire::{LiveLimits, Sentry};

/// Loads the models that `config` names and starts the workers, as `predictd serve` does. Blocks for as long as that takes.
///
/// To be called before the program has more threads than one, so that ONNX Runtime can be kept from calling home; else run it
/// with `ORT_DISABLE_TELEMETRY=1`.
///
/// # Errors
/// No ONNX Runtime, or a model that cannot be loaded.
pub fn start(config: &Config) -> anyhow::Result<App> {
    if !os::process::disable_onnxruntime_telemetry() {
        tracing::warn!("ORT_DISABLE_TELEMETRY is not set, and there are threads already: too late to set it");
    }
    let config = Arc::new(config.clone());
    let live = server::Live::of(Arc::clone(&config), None)?;
    let life = Life::begin(Phase::Ready, Box::new(|_, _| {}));
    let again = Arc::clone(&config);
    server::prepare(config)?.start(&live, life, Box::new(move || Ok(Config::clone(&again))))
}

/// Listens on `address`: `unix:/path` (of mode 0660), `unix:@name`, `127.0.0.1:8090` or `[::1]:8090`. To be called within a
/// tokio runtime.
///
/// # Errors
/// What is wrong with the address, or why nobody can listen there.
pub fn listen(address: &str) -> anyhow::Result<Listener> {
    let bound = os::socket::bind(&address.parse()?, &os::socket::Options::default())?;
    Listener::new(bound).with_context(|| format!("{address} cannot be watched"))
}

/// Answers requests by `service`, an axum `Router` for example, until SIGTERM or SIGINT; what has been accepted by then is
/// answered, for at most 30 seconds or until a second signal. Limits are those of `example.toml`; [`wire::serve`] takes others.
///
/// # Errors
/// Where signals cannot be waited for.
pub async fn serve<H: Handler>(listener: Listener, service: H) -> std::io::Result<()> {
    let mut signals = Signals::take(&Signal::ENDING)?;
    let limits = wire::Limits::default();
    let connections = wire::Connections::new(limits.connections);
    let life = Life::begin(Phase::Ready, Box::new(|_, _| {}));
    let drain = wire::Drain::of(&life);
    tracing::info!(listen = %listener.address(), "listening");
    let (traffic, limits) = (Traffic::default(), LiveLimits::from(limits));
    let sentry = Sentry::over([&listener], connections.clone(), limits.clone(), Alarms::default());
    let watching = tokio::spawn(sentry.watch());
    let serving = tokio::spawn(wire::serve(listener, service, traffic, limits, connections.clone(), drain));
    let signal = signals.next().await;
    life.enter(Phase::Draining, &format!("{}: answering what was accepted", signal.name()));
    let drained = async {
        let _ = serving.await;
        connections.closed().await;
    };
    tokio::select! {
        _ = tokio::time::timeout(Duration::from_secs(30), drained) => {}
        _ = signals.next() => {}
    }
    watching.abort();
    logging::flush(Duration::from_secs(1));
    Ok(())
}
