//! A server over a folder of models of its own, which come and go, with its admin interface.

use crate::harness::{PATIENCE, Process, Reply, Server, by_http, predictd};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

pub(crate) struct Deployment {
    pub(crate) server: Server,
}

impl Deployment {
    /// Serves these files of a repository.
    pub(crate) fn of(files: &[(&str, &[u8])]) -> Self {
        Self::with("", files)
    }

    /// The same with more configuration.
    pub(crate) fn with(config: &str, files: &[(&str, &[u8])]) -> Self {
        Self::started(config, files, |_| {})
    }

    /// The same with more arguments.
    pub(crate) fn started(config: &str, files: &[(&str, &[u8])], more: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("models")).unwrap();
        for (path, content) in files {
            put(&folder.path().join("models").join(path), content);
        }
        configure(folder.path(), config);
        let mut command = predictd();
        command.args(["serve", "--allow-fake", "--config"]).arg(folder.path().join("predictd.toml"));
        more(&mut command);
        let has_admin = !command.get_args().any(|argument| argument == "--admin");
        let mut server = Server { folder, process: Process::start(command) };
        // Where it listens last.
        let (public, admin) = (server.socket(), server.folder.path().join("admin.sock"));
        let listens = |socket: &Path| UnixStream::connect(socket).is_ok();
        server.process.wait_until("it listens", || listens(&public) && (!has_admin || listens(&admin)));
        Self { server }
    }

    /// Another configuration, for the next reload.
    pub(crate) fn configure(&self, config: &str) {
        configure(self.server.folder.path(), config);
    }

    pub(crate) fn models(&self) -> PathBuf {
        self.server.folder.path().join("models")
    }

    /// Puts a file in place, as a careful deployer does: whole or not at all.
    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        put(&self.models().join(path), content.as_ref());
    }

    /// Removes a file or a folder.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.models().join(path);
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
            .unwrap();
    }

    /// Asks the admin interface.
    pub(crate) fn admin(&self, method: &str, target: &str, body: &str) -> Reply {
        let stream = UnixStream::connect(self.server.folder.path().join("admin.sock")).unwrap();
        by_http(stream, method, target, &[("Host", "localhost")], body.as_bytes())
    }

    /// Reloads, and says what came of it, by model.
    pub(crate) fn reload(&self) -> Value {
        let reply = self.admin("POST", "/reload", "").json();
        let models = reply["models"].as_array().unwrap_or_else(|| panic!("{reply}"));
        models.iter().map(|model| (model["name"].as_str().unwrap().to_owned(), model.clone())).collect()
    }

    /// The outcome of a reload for each model.
    pub(crate) fn outcomes(&self) -> Value {
        let outcomes = self.reload();
        let words = outcomes.as_object().unwrap().iter();
        words.map(|(name, outcome)| (name.clone(), outcome["outcome"].clone())).collect()
    }

    /// What `/predict` says of a row `[0]`, for a model that is a constant.
    #[track_caller]
    pub(crate) fn predict(&self, model: &str) -> f64 {
        let answer = self.server.post(&format!("/predict/{model}"), "[[0]]").ok();
        answer["results"][0]["outputs"]["y"][0].as_f64().unwrap_or_else(|| panic!("{answer}"))
    }

    /// Each model's state by `/status`, with its version if it has one.
    pub(crate) fn states(&self) -> Value {
        let status = self.admin("GET", "/status", "").ok();
        let models = status["models"].as_array().unwrap().iter();
        models
            .map(|model| {
                let version =
                    model["version"].as_str().map(|version| format!("/{version}")).unwrap_or_default();
                (format!("{}{version}", model["name"].as_str().unwrap()), model["state"].clone())
            })
            .collect()
    }

    /// Waits for something to come true.
    #[track_caller]
    pub(crate) fn wait_until(&self, done: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "{:#}", self.states());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Runs a command that finds the server by its configuration file.
    pub(crate) fn run(&self, verb: &str, arguments: &[&str]) -> (i32, String, String) {
        let mut command = predictd();
        command
            .arg(verb)
            .arg("--config")
            .arg(self.server.folder.path().join("predictd.toml"))
            .args(arguments);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// Bytes of memory that are the server's own or shared by its part.
    pub(crate) fn memory(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.server.process.id())).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }
}

fn configure(folder: &Path, config: &str) {
    let at = |name: &str| json!(format!("unix:{}", folder.join(name).display()));
    let first = format!(
        "listen = [{}]\nadmin = {}\nmodels = {}\n",
        at("predictd.sock"),
        at("admin.sock"),
        json!(folder.join("models"))
    );
    put(&folder.join("predictd.toml"), format!("{first}{config}").as_bytes());
}

fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let aside = path.with_file_name(".aside");
    fs::write(&aside, content).unwrap();
    fs::rename(&aside, path).unwrap();
}

/// A connection that does not wait for ever.
pub(crate) fn patient(stream: std::net::TcpStream) -> std::net::TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
