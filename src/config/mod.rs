//! What was asked of the server: defaults, then the file, then the environment, then the command line.
//!
//! Two stages. `layers` is what is written, each value checked for its kind and with its place; [`Config`] is what is meant.
//! Every key is in `example.toml` with its default: the example is the lowest layer.

mod changes;
mod contradictions;
mod document;
mod keys;
mod kind;
mod layers;
pub mod model;
mod nearest;
mod origin;
mod pin;
mod problem;
mod reading;
mod schema;
pub mod units;

pub use changes::{Change, Effect};
pub use origin::Origin;
pub use pin::Pin;
pub use problem::{Error, Problem};

use crate::os::{
    account::Account,
    cpus,
    socket::{Address, Options as SocketOptions},
};
use document::Document;
use layers::{Layer, Merged};
use predictd_protocol::gateway::detect::Wires;
use problem::Problems;
use std::{
    ffi::OsString,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

/// The commented file that holds every key with its default.
pub const EXAMPLE: &str = include_str!("example.toml");

/// What comes before each variable's name.
const PREFIX: &str = "PREDICTD_";

/// Begins so too, and is the Python client's: where we are. Both may well have one environment.
const CLIENTS: &str = "PREDICTD_ADDRESS";

/// What is meant. Paths are absolute. Two are equal where they mean the same, wherever that is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where requests come in.
    pub listen: Vec<Address>,
    /// Where the admin interface listens, if anywhere. One that other machines reach was allowed by `admin_allow_remote`;
    /// where an inherited socket listens is seen only when there is one.
    pub admin: Option<Address>,
    /// Names by which browsers may call it, in lower case.
    pub admin_hosts: Vec<String>,
    /// Whether other machines may reach it.
    pub admin_allow_remote: bool,
    /// Where uWSGI's statistics are told, if anywhere.
    pub uwsgi_stats: Option<Address>,
    /// The folder of models.
    pub models: PathBuf,
    /// Where private copies of model files go; the system's temporary folder if not given.
    pub cache: Option<PathBuf>,
    /// Where the process writes its number, if anywhere.
    pub pidfile: Option<PathBuf>,
    /// Models given one by one, `NAME=PATH`, beside those of the folder.
    pub extra_models: Vec<(String, PathBuf)>,
    /// Whether a model that cannot be loaded keeps the server from starting.
    pub strict_models: bool,
    /// Whether models of kind `"fake"` are served.
    pub allow_fake: bool,
    /// How Unix sockets are made, and who may use them.
    pub socket: Socket,
    /// The threads that run models.
    pub workers: Workers,
    /// Bounds on what peers may make us hold and wait for.
    pub limits: Limits,
    /// ONNX Runtime.
    pub onnxruntime: OnnxRuntime,
    /// The log.
    pub log: Log,
    /// What a model's own settings are laid over.
    pub defaults: model::Defaults,
    /// Every value in force by its key, and where it comes from.
    pub settings: Vec<Setting>,
    /// What deserves a word in the log: unknown variables, keys without effect.
    pub notes: Vec<String>,
}

/// A value in force.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The full name of its key, `limits.body`.
    pub key: String,
    /// As a file would have it, the same for all ways to write the same; paths are absolute.
    pub value: toml::Value,
    /// Who says so.
    pub origin: Origin,
}

impl PartialEq for Setting {
    /// Wherever it comes from.
    fn eq(&self, other: &Self) -> bool {
        (&self.key, &self.value) == (&other.key, &other.value)
    }
}

/// `[socket]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// How sockets are made.
    pub options: SocketOptions,
    /// Who may connect besides root and our own user; whoever can open the socket if empty.
    pub allow_users: Vec<Account>,
}

/// `[workers]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// How many; by the allowed cores if not given.
    pub count: Option<usize>,
    /// Where they run.
    pub pin: Pin,
    /// Cores of one run.
    pub threads: usize,
    /// A run that takes longer gives its place to another worker meanwhile.
    pub slow_after: Duration,
    /// A run that goes on for so long after it was told to end is stuck.
    pub stuck_after: Duration,
    /// So many stuck runs end the process; twice the number of workers if not given.
    pub max_stuck: Option<usize>,
}

/// `[limits]`; durations and sizes as in `example.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described by its key in example.toml")]
pub struct Limits {
    pub head: usize,
    pub body: u64,
    /// A quarter of the memory there is if not given, and room for two of the largest bodies at least.
    pub in_flight: Option<u64>,
    pub pixels: u64,
    pub connections: u32,
    pub head_timeout: Duration,
    pub body_timeout: Duration,
    pub write_timeout: Duration,
    pub idle_timeout: Duration,
    pub drain: Duration,
    /// `wires`
    pub wires: Wires,
}

/// `[onnxruntime]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxRuntime {
    /// The library, if its place was given.
    pub library: Option<PathBuf>,
    /// At least one, each once, the CPU only as the last.
    pub providers: Vec<Provider>,
    /// Whether a provider that cannot start is passed over for the next.
    pub fallback: bool,
}

/// What ONNX Runtime runs models on, by its own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are ONNX Runtime's")]
pub enum Provider {
    Cpu,
    Cuda,
    TensorRt,
    MiGraphX,
    OpenVino,
}

impl Provider {
    /// As the configuration calls it, and its library is named.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::MiGraphX => "migraphx",
            Self::OpenVino => "openvino",
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least that is worth a line.
    pub level: tracing::Level,
    /// JSON instead of text.
    pub json: bool,
    /// Where it is written; standard error if not given.
    pub file: Option<PathBuf>,
    /// Whether each request is a line.
    pub access: bool,
    /// Where those lines are written; with the rest if not given.
    pub access_file: Option<PathBuf>,
}

/// What the command line may set.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Instead of `listen`, if there are any.
    pub listen: Vec<String>,
    /// Instead of `admin`.
    pub admin: Option<String>,
    /// Instead of `models`.
    pub models: Option<String>,
    /// Models given one by one.
    pub extra_models: Vec<(String, PathBuf)>,
    /// Whether models of kind `"fake"` are served.
    pub allow_fake: bool,
}

impl Config {
    /// Reads the configuration as `predictd serve` without flags would: defaults, then `file`, then the environment.
    ///
    /// # Errors
    /// Everything that is wrong, by place and key.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        load(file, environment(), Overrides::default())
    }
}

/// The variables of this process.
pub fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// Reads the configuration; `file` may be absent, then there are only defaults, environment and command line.
///
/// # Errors
/// Everything that is wrong, by place and key.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    overrides: Overrides,
) -> Result<Config, Error> {
    let text = file.map(read).transpose()?.unwrap_or_default();
    let (schema, mut problems, mut notes) = (reading::schema(), Problems::default(), Vec::new());
    let environment = environment.filter(|(name, _)| name != CLIENTS);
    let name = file.map(|file| file.display().to_string());
    let document = Document { file: Some(name.as_deref().unwrap_or_default()), text: &text };
    let layers = [
        reading::defaults().clone(),
        Layer::of_file(&document, schema, &mut problems),
        Layer::of_environment(environment, PREFIX, schema, &mut problems, &mut notes),
        Layer::of_flags(overrides.flags(), schema, &mut problems),
    ];
    let values = Merged::of(&layers);
    let mut config = reading::meant(&mut keys::Keys::of(&values));
    config.extra_models = extra_models(overrides.extra_models, &mut notes);
    config.allow_fake = overrides.allow_fake;
    config.defaults = model::Defaults::of(&values);
    config.settings = reading::settings(&values);
    config.notes = notes;
    contradictions::find(&mut config, &values, &cpus::allowed().unwrap_or_default(), &mut problems);
    problems.finish().map_err(Error::Wrong)?;
    Ok(config)
}

impl Overrides {
    fn flags(&self) -> impl Iterator<Item = (&'static str, &'static str, config::ValueKind)> {
        let listen = (!self.listen.is_empty()).then(|| ("--listen", "listen", self.listen.clone().into()));
        let admin = self.admin.clone().map(|admin| ("--admin", "admin", admin.into()));
        let models = self.models.clone().map(|models| ("--models", "models", models.into()));
        [listen, admin, models].into_iter().flatten()
    }
}

/// Models by flag: of several with one name the last counts, as for any flag.
fn extra_models(models: Vec<(String, PathBuf)>, notes: &mut Vec<String>) -> Vec<(String, PathBuf)> {
    let mut each: Vec<(String, PathBuf)> = Vec::new();
    for (name, path) in models {
        let path = std::path::absolute(&path).unwrap_or(path);
        match each.iter_mut().find(|(other, _)| *other == name) {
            Some(before) => {
                notes.push(format!("--model {name} is given twice: {} counts", path.display()));
                before.1 = path;
            }
            None => each.push((name, path)),
        }
    }
    each
}

/// The text of a file that may be anything.
fn read(file: &Path) -> Result<String, Error> {
    const LARGEST: u64 = 1 << 20;
    let unreadable = |error| Error::Unreadable(file.to_owned(), error);
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .map_err(unreadable)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::TooLarge(file.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
        let name = file.display().to_string();
        let origin = Document { file: Some(&name), text: &text }.origin(valid);
        let what = format!("the byte 0x{byte:02x} is not UTF-8, which TOML is");
        Error::Wrong(vec![Problem { origin, key: String::new(), what, excerpt: None }])
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "mistakes_tests.rs"]
mod mistakes_tests;

#[cfg(test)]
#[path = "any_text_tests.rs"]
mod any_text_tests;
