//! The whole server in this process, on a private socket, and clients that ask it by uwsgi as nginx would.

use super::{
    Measured,
    latencies::Latencies,
    threads::{self, Stop, Work},
};
use crate::{
    api::{self, App},
    cli::client::{self, Request},
    os::{
        process,
        signals::{Signal, Signals},
        socket::{self, Address, Options},
    },
    server::Live,
    serving::Served,
    telemetry::phase::{Life, Phase},
    wire::{Drain, Listener},
};
use anyhow::anyhow;
use bytes::Bytes;
use predictd_protocol::inference::{tensor::Tensor, v2};
use serde_json::Value;
use std::{
    sync::mpsc::{self, SyncSender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A server that answers.
pub(super) struct Server {
    app: App,
    life: Life,
    address: Address,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// What clients got.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) measured: Measured,
    /// Requests that were answered by an error, or not at all.
    pub(super) failed: u64,
    /// What the first of them were told.
    pub(super) error: Option<String>,
    /// Rows in a run, in the mean.
    pub(super) rows_per_run: Option<f64>,
}

/// How long the clients ask before it counts, at most.
const WARM_UP: Duration = Duration::from_millis(500);
/// What a client waits for beyond the model's deadline.
const GRACE: Duration = Duration::from_secs(10);
/// How long one waits that was refused.
const BACK_OFF: Duration = Duration::from_millis(1);
/// How long runs that were told to end are waited for in the end.
const PATIENCE: Duration = Duration::from_secs(1);

impl Server {
    /// Serves `app` on one thread, as `predictd serve` does. The thread minds signals, too: the first is the word to `stop`, the
    /// second ends the process.
    pub(super) fn start(live: &Live, life: &Life, app: &App, stop: &Stop) -> anyhow::Result<Self> {
        let (sender, ready) = mpsc::sync_channel(1);
        let serve = serve(live.clone(), app.clone(), life.clone(), stop.clone(), sender);
        let thread = thread::Builder::new()
            .name("io".into())
            .spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve))?;
        match ready.recv() {
            Ok(address) => Ok(Self { app: app.clone(), life: life.clone(), address, thread }),
            // It has ended before it could say where it listens.
            Err(_) => Err(thread
                .join()
                .map_or_else(
                    |_| anyhow!("it panicked"),
                    |ended| match ended {
                        Err(error) => error,
                        Ok(()) => anyhow!("it ended at once"),
                    },
                )
                .context("the model cannot be served")),
        }
    }

    /// Has so many clients ask for so long, each on one connection after the other, by tensors as bytes.
    pub(super) fn measure(
        &self,
        model: &Served,
        inputs: &[Tensor],
        clients: usize,
        length: Duration,
        stop: &Stop,
        watch: impl Fn(Duration),
    ) -> anyhow::Result<Answered> {
        let packet = infer(model, inputs).by_uwsgi()?;
        let patience = model.deadline + GRACE;
        let before = model.lane.statistics().figures();
        let client = |_| -> Work<Answered> {
            let (address, packet, stop) = (self.address.clone(), packet.clone(), stop.clone());
            Box::new(move || Client { address, packet, patience, stop }.ask_for(length))
        };
        let work = (0..clients).map(client).collect();
        // Whoever waits for the pool is answered then.
        let end = || _ = self.app.pool.stop(Duration::ZERO);
        let gathered = threads::run("client", work, WARM_UP + length + 2 * patience, stop, end, watch)?;
        let after = model.lane.statistics().figures();
        let mut all = gathered.results.into_iter().fold(Answered::default(), Answered::with);
        let runs = after.runs - before.runs;
        all.rows_per_run = (runs > 0).then(|| (after.rows - before.rows) as f64 / runs as f64);
        Ok(all)
    }

    /// Ends it; false where something does not end.
    pub(super) fn end(self) -> bool {
        self.life.enter(Phase::Draining, "measured");
        let ended = self.thread.join().is_ok();
        let loader = self.app.loader.stop(PATIENCE);
        self.app.pool.stop(PATIENCE) && loader && ended
    }
}

/// Answers on a socket in a folder of its own, and says where, until the life ends.
async fn serve(
    live: Live,
    app: App,
    life: Life,
    stop: Stop,
    sender: SyncSender<Address>,
) -> anyhow::Result<()> {
    let mut signals = Signals::take(&Signal::ENDING)?;
    let folder = tempfile::Builder::new().prefix("predictd-bench.").tempdir()?;
    let address = Address::Unix(folder.path().join("predictd.sock"));
    let options = Options { mode: 0o600, ..Options::default() };
    let listener = Listener::new(socket::bind(&address, &options)?)?;
    let mut serving = tokio::spawn(live.serve(listener, api::router(app), Drain::of(&life)));
    let _ = sender.send(address);
    loop {
        tokio::select! {
            _ = &mut serving => return Ok(()),
            signal = signals.next() => if !stop.say(signal) {
                let _ = folder.close();
                process::exit_now(signal.exit_code());
            }
        }
    }
}

/// The request of `POST /v2/models/MODEL/infer`.
fn infer(model: &Served, inputs: &[Tensor]) -> Request {
    let names = model.engine.signature().inputs.iter().map(|spec| &*spec.name);
    let printed = v2::print_request(&names.zip(inputs).collect::<Vec<_>>());
    let mut headers = vec![("Content-Type".to_owned(), "application/octet-stream".to_owned())];
    let length = printed.header_length();
    headers.extend(length.map(|length| ("Inference-Header-Content-Length".to_owned(), length.to_string())));
    Request {
        method: "POST".into(),
        target: format!("/v2/models/{}/infer", model.name),
        headers,
        body: printed.into_pieces().concat().into(),
    }
}

/// One who asks again as soon as there is an answer.
struct Client {
    address: Address,
    packet: Bytes,
    patience: Duration,
    stop: Stop,
}

impl Client {
    fn ask_for(&self, length: Duration) -> Answered {
        let warm = Instant::now() + WARM_UP.min(length / 4);
        while Instant::now() < warm && self.stop.said().is_none() {
            if self.ask().is_err() {
                thread::park_timeout(BACK_OFF);
            }
        }
        let (mut latencies, mut all) = (Latencies::default(), Answered::default());
        let begun = Instant::now();
        let (mut asked, mut last) = (begun, begun);
        while asked < begun + length && self.stop.said().is_none() {
            let answer = self.ask();
            let now = Instant::now();
            match answer {
                Ok(()) => {
                    latencies.record(now - asked);
                    last = now;
                }
                Err(_) if self.stop.said().is_some() => break,
                Err(error) => {
                    all.failed += 1;
                    all.error.get_or_insert(error);
                    thread::park_timeout(BACK_OFF);
                }
            }
            asked = Instant::now();
        }
        Answered { measured: Measured::new(latencies, last - begun), ..all }
    }

    /// One request; else what is said instead of an answer.
    fn ask(&self) -> Result<(), String> {
        let mut stream = socket::connect(&self.address, self.patience).map_err(|error| error.to_string())?;
        let (head, body) =
            client::exchange(&mut *stream, &self.packet).map_err(|error| format!("{error:#}"))?;
        if head.status.is_success() {
            return Ok(());
        }
        let said = serde_json::from_slice::<Value>(&body).ok();
        let said = said.as_ref().and_then(|body| body["error"].as_str()).unwrap_or("");
        Err(format!("{}: {said}", head.status))
    }
}

impl Answered {
    fn with(self, other: Self) -> Self {
        Self {
            measured: self.measured.with(other.measured),
            failed: self.failed + other.failed,
            error: self.error.or(other.error),
            rows_per_run: None,
        }
    }
}
