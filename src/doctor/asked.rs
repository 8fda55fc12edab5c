//! What the configuration asks for, as far as it can be at odds with nginx or the machine.

use crate::{
    config::{Config, Provider, model::Model, units::Size},
    model::folder::{self, ModelFolder},
    os::{account::Account, cpus, socket::Address},
};
use predictd_protocol::gateway::detect::{Wire, Wires};
use std::time::Duration;

/// Of the whole configuration, this.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `listen`
    pub listen: Vec<Address>,
    /// `wires`
    pub wires: Wires,
    /// `socket.allow_users`
    pub allow_users: Vec<Account>,
    /// `socket.backlog`
    pub backlog: u64,
    /// `limits.body`
    pub body: u64,
    /// `limits.in_flight`, if given.
    pub in_flight: Option<u64>,
    /// `limits.connections`
    pub connections: u64,
    /// `limits.idle_timeout`
    pub idle_timeout: Duration,
    /// The longest of all models, and whose it is.
    pub deadline: (Duration, Option<String>),
    /// Runs at a time.
    pub workers: usize,
    /// `workers.count`, if given.
    pub workers_asked: Option<usize>,
    /// The most rows that a run takes.
    pub max_rows: usize,
    /// The models' names.
    pub models: Vec<String>,
    /// `onnxruntime.providers`, by ONNX Runtime's names.
    pub providers: Vec<&'static str>,
    /// Bytes of all model files.
    pub weights: u64,
}

impl Asked {
    /// Reads the models' settings too; what is wrong with those is found where they are loaded.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let default = Model::parse("", "defaults", &config.defaults).unwrap_or_default();
        let (mut deadline, mut max_rows, mut weights) = ((default.deadline.0, None), 1, 0);
        let mut models = Vec::new();
        for folder in folders(config) {
            models.push(folder.name.to_string());
            let text = folder.settings.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
            let model = Model::parse(&text.unwrap_or_default(), "model.toml", &config.defaults);
            let model = model.unwrap_or_else(|_| default.clone());
            if model.deadline.0 > deadline.0 {
                deadline = (model.deadline.0, Some(folder.name.to_string()));
            }
            max_rows = max_rows.max(model.batch.max_rows.get());
            let size = |path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            weights += folder.versions.last().map_or(0, |(_, path)| size(path));
        }
        let allowed = cpus::allowed().map_or(1, |cores| cores.len());
        let workers = cpus::workers(allowed, cpus::quota(), config.workers.threads);
        Self {
            listen: config.listen.clone(),
            wires: config.limits.wires,
            allow_users: config.socket.allow_users.clone(),
            backlog: u64::try_from(config.socket.options.backlog).unwrap_or_default(),
            body: config.limits.body,
            in_flight: config.limits.in_flight,
            connections: config.limits.connections.into(),
            idle_timeout: config.limits.idle_timeout,
            deadline,
            workers: config.workers.count.unwrap_or(workers),
            workers_asked: config.workers.count,
            max_rows,
            models,
            providers: config.onnxruntime.providers.iter().map(|provider| name(*provider)).collect(),
            weights,
        }
    }

    /// Requests that can be in runs at the same time.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.workers.saturating_mul(self.max_rows)
    }

    /// What to write into nginx's configuration, for the first wire that is spoken.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wires.iter().next().unwrap_or(Wire::Uwsgi)
    }

    /// How long nginx must wait so that it is predictd that says 504: half a minute longer.
    #[must_use]
    pub fn read_timeout(&self) -> Duration {
        self.deadline.0 + Duration::from_secs(30)
    }

    /// The longest deadline in words.
    #[must_use]
    pub fn deadline_text(&self) -> String {
        let (time, model) = &self.deadline;
        match model {
            Some(model) => format!("{} of model '{model}'", seconds(*time)),
            None => seconds(*time),
        }
    }
}

/// In the name of a provider's library.
fn name(provider: Provider) -> &'static str {
    match provider {
        Provider::Cpu => "cpu",
        Provider::Cuda => "cuda",
        Provider::TensorRt => "tensorrt",
        Provider::MiGraphX => "migraphx",
        Provider::OpenVino => "openvino",
    }
}

/// All models, as far as they can be listed.
fn folders(config: &Config) -> Vec<ModelFolder> {
    let mut found = folder::scan(&config.models).unwrap_or_default();
    for (name, path) in &config.extra_models {
        found.retain(|found| found.name != *name);
        found.push(folder::open(name, path));
    }
    found.into_iter().filter_map(|found| found.folder.ok()).collect()
}

/// `60s`, `1500ms`: as nginx reads it.
#[must_use]
pub fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

/// `64 MiB`
#[must_use]
pub fn bytes(count: u64) -> String {
    let text = Size(count).to_string();
    let unit = text.bytes().take_while(u8::is_ascii_digit).count();
    format!("{} {}", &text[..unit], &text[unit..])
}

#[cfg(test)]
impl Asked {
    /// What the defaults ask for, on two cores.
    pub(crate) fn example() -> Self {
        Self {
            listen: vec!["unix:/run/predictd/predictd.sock".parse().expect("an address")],
            wires: Wires::ALL,
            allow_users: Vec::new(),
            backlog: 4096,
            body: 64 << 20,
            in_flight: None,
            connections: 8192,
            idle_timeout: Duration::from_secs(75),
            deadline: (Duration::from_secs(30), None),
            workers: 2,
            workers_asked: None,
            max_rows: 8,
            models: vec!["iris".into()],
            providers: vec!["cpu"],
            weights: 100 << 20,
        }
    }
}
