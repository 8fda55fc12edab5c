//! What the configuration asks for, as far as it can be at odds with nginx or the machine.

use crate::{
    config::{Config, model::Model, units::Size},
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
    /// Of those, the ones that systemd made, where it was found out: rights and backlog are their unit's.
    pub inherited: Vec<Address>,
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
    /// The longest of all models, and whose it is where that is not the one of `[defaults]`.
    pub deadline: (Duration, Option<String>),
    /// Runs at a time.
    pub workers: usize,
    /// `workers.count`, if given.
    pub workers_asked: Option<usize>,
    /// The most rows that a run takes.
    pub max_rows: usize,
    /// Each model's name and deadline.
    pub models: Vec<(String, Duration)>,
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
        let (mut max_rows, mut weights) = (1, 0);
        let mut models = Vec::new();
        for folder in folders(config) {
            let text = folder.settings.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
            let model = Model::parse(&text.unwrap_or_default(), "model.toml", &config.defaults);
            let model = model.unwrap_or_else(|_| default.clone());
            models.push((folder.name.to_string(), model.deadline.0));
            max_rows = max_rows.max(model.batch.max_rows.get());
            let size = |path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            weights += folder.versions.last().map_or(0, |(_, path)| size(path));
        }
        let allowed = cpus::allowed().map_or(1, |cores| cores.len());
        let workers = cpus::workers(allowed, cpus::quota(), config.workers.threads);
        Self {
            listen: config.listen.clone(),
            inherited: Vec::new(),
            wires: config.limits.wires,
            allow_users: config.socket.allow_users.clone(),
            backlog: u64::try_from(config.socket.options.backlog).unwrap_or_default(),
            body: config.limits.body,
            in_flight: config.limits.in_flight,
            connections: config.limits.connections.into(),
            idle_timeout: config.limits.idle_timeout,
            deadline: longest(&models, default.deadline.0),
            workers: config.workers.count.unwrap_or(workers),
            workers_asked: config.workers.count,
            max_rows,
            models,
            providers: config.onnxruntime.providers.iter().map(|provider| provider.name()).collect(),
            weights,
        }
    }

    /// The names of sockets of systemd of which it is not known where they are.
    pub fn unplaced(&self) -> impl Iterator<Item = &Address> {
        self.listen.iter().filter(|address| matches!(address, Address::Inherited(_)))
    }

    /// Puts the addresses of systemd's sockets in the place of their names.
    #[must_use]
    pub fn placed(mut self, found: Vec<Address>) -> Self {
        if !found.is_empty() {
            self.listen.retain(|address| !matches!(address, Address::Inherited(_)));
            self.listen.extend(found.iter().cloned());
            self.inherited = found;
        }
        self
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

    /// How long a model's requests may take, if the configuration knows the model.
    #[must_use]
    pub fn deadline_of(&self, model: &str) -> Option<Duration> {
        self.models.iter().find(|(name, _)| name == model).map(|(_, deadline)| *deadline)
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

/// The longest deadline; where there are no models, the one that they would have.
fn longest(models: &[(String, Duration)], default: Duration) -> (Duration, Option<String>) {
    match models.iter().max_by_key(|(_, deadline)| *deadline) {
        Some((name, deadline)) if *deadline != default => (*deadline, Some(name.clone())),
        _ => (default, None),
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
            inherited: Vec::new(),
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
            models: vec![("iris".into(), Duration::from_secs(30))],
            providers: vec!["cpu"],
            weights: 100 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Overrides};

    #[test]
    fn each_model_has_its_own_deadline_and_the_longest_is_one_of_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let (file, models) = (folder.path().join("predictd.toml"), folder.path().join("models"));
        std::fs::write(&file, format!("models = '{}'\n[defaults]\ndeadline = '40s'", models.display()))
            .unwrap();
        let asked =
            || Asked::of(&config::load(Some(&file), std::iter::empty(), Overrides::default()).unwrap());
        let model = |name: &str, settings: &str| {
            std::fs::create_dir_all(models.join(name)).unwrap();
            std::fs::write(models.join(name).join("model.onnx"), "").unwrap();
            std::fs::write(models.join(name).join("model.toml"), settings).unwrap();
        };
        std::fs::create_dir(&models).unwrap();
        assert_eq!((asked().deadline_text(), asked().deadline_of("fast")), ("40s".into(), None));
        model("fast", "deadline = '2s'");
        assert_eq!(asked().deadline_text(), "2s of model 'fast'");
        assert_eq!(asked().read_timeout(), Duration::from_secs(32));
        model("usual", "");
        assert_eq!(asked().deadline_text(), "40s");
        model("slow", "deadline = '90s'");
        assert_eq!(asked().deadline_text(), "90s of model 'slow'");
        let deadlines = ["fast", "usual", "slow", "other"].map(|name| asked().deadline_of(name));
        assert_eq!(deadlines, [Some(2), Some(40), Some(90), None].map(|one| one.map(Duration::from_secs)));
    }
}
