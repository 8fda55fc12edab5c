//! The keys of `predictd.toml`: of which kind each is, and where its value goes.

use super::{
    Config, EXAMPLE, Limits, Log, OnnxRuntime, Pin, Provider, Setting, Socket, Workers,
    keys::Keys,
    kind::{
        Absolute, Kind, List, Read, Text, Truth, Words, list, quantity, text, time, unless, whole, words,
        wrong,
    },
    layers::{Layer, Merged},
    model,
    schema::Schema,
    units::Size,
};
use crate::os::{
    account::Account,
    socket::{Address, Options as SocketOptions},
};
use config::{Value, ValueKind};
use predictd_protocol::gateway::detect::Wire;
use std::{fmt, str::FromStr, sync::LazyLock, time::Duration};

static DEFAULTS: LazyLock<Layer> = LazyLock::new(|| Layer::of_defaults(EXAMPLE));

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let defaults = Merged::of([&*DEFAULTS]);
    let mut keys = Keys::of(&defaults);
    meant(&mut keys);
    keys.into_schema(model::schema().within(model::TABLE), |_| None)
});

/// The lowest layer.
pub(super) fn defaults() -> &'static Layer {
    &DEFAULTS
}

/// The keys that a predictd.toml may have.
pub(super) fn schema() -> &'static Schema {
    &SCHEMA
}

/// Whether a key or a table of that last name is of this file, beside what is for models.
pub(super) fn is_own(word: &str) -> bool {
    let own = |name: &&str| !name.starts_with(model::TABLE);
    SCHEMA.names().filter(own).any(|name| name.split('.').any(|part| part == word))
}

/// Every value that is set, in the order of the example.
pub(super) fn settings(values: &Merged) -> Vec<Setting> {
    let setting = |key: &str| {
        let value = SCHEMA.key(key)?.canonical(values.value(key)?).ok()?;
        Some(Setting { key: key.to_owned(), value, origin: values.origin(key) })
    };
    SCHEMA.names().filter_map(setting).collect()
}

const KIB: u64 = 1 << 10;
/// More than any machine has.
const LARGEST: Size = Size(1 << 50);
const MICROSECOND: Duration = Duration::from_micros(1);

/// What the values mean, each by itself.
pub(super) fn meant(keys: &mut Keys<'_>) -> Config {
    let listen = keys.read("listen", list(address()).not_empty());
    let admin = keys.read("admin", unless("", address()));
    let admin_hosts = keys.read("admin_hosts", list(text::<Host>(Host::EXPECTED)));
    let admin_allow_remote = keys.read("admin_allow_remote", Truth);
    let uwsgi_stats = keys.read("uwsgi_stats", unless("", address()));
    let wires = keys.read("wires", list(words(WIRES)).not_empty()).into_iter().collect();
    Config {
        listen,
        admin,
        admin_hosts: admin_hosts.into_iter().map(|Host(host)| host).collect(),
        admin_allow_remote,
        uwsgi_stats,
        models: keys.read("models", Absolute),
        cache: keys.read("cache", unless("", Absolute)),
        pidfile: keys.read("pidfile", unless("", Absolute)),
        strict_models: keys.read("strict_models", Truth),
        socket: socket(keys),
        workers: Workers {
            count: keys.read("workers.count", unless("auto", whole(1..=4096))),
            pin: keys.read("workers.pin", text::<Pin>(Pin::EXPECTED)),
            threads: keys.read("workers.threads", whole(1..=1024)),
            slow_after: keys.read("workers.slow_after", time(MICROSECOND)).0,
            stuck_after: keys.read("workers.stuck_after", time(MICROSECOND)).0,
            max_stuck: keys.read("workers.max_stuck", unless("auto", whole(1..=1 << 20))),
        },
        limits: Limits {
            head: size(keys.read("limits.head", quantity(Size(KIB)..=Size(64 * KIB)))),
            body: keys.read("limits.body", quantity(Size(1)..=LARGEST)).0,
            in_flight: keys
                .read("limits.in_flight", unless("auto", quantity(Size(1)..=LARGEST)))
                .map(|size| size.0),
            pixels: keys.read("limits.pixels", whole(1..=u32::MAX.into())),
            connections: keys.read("limits.connections", whole(1..=1 << 20)),
            head_timeout: keys.read("limits.head_timeout", time(MICROSECOND)).0,
            body_timeout: keys.read("limits.body_timeout", time(MICROSECOND)).0,
            write_timeout: keys.read("limits.write_timeout", time(MICROSECOND)).0,
            idle_timeout: keys.read("limits.idle_timeout", time(MICROSECOND)).0,
            drain: keys.read("limits.drain", time(Duration::ZERO)).0,
            wires,
        },
        onnxruntime: OnnxRuntime {
            library: keys.read("onnxruntime.library", unless("auto", Absolute)),
            providers: keys.read("onnxruntime.providers", Providers(list(words(PROVIDERS)).not_empty())),
            fallback: keys.read("onnxruntime.fallback", Truth),
        },
        log: Log {
            level: keys.read("log.level", words(LEVELS)),
            json: keys.read("log.format", words(&[("text", false), ("json", true)])),
            file: keys.read("log.file", unless("", Absolute)),
            access: keys.read("log.access", Truth),
            access_file: keys.read("log.access_file", unless("", Absolute)),
        },
        defaults: model::Defaults::default(),
        extra_models: Vec::new(),
        allow_fake: false,
        settings: Vec::new(),
        notes: Vec::new(),
    }
}

fn socket(keys: &mut Keys<'_>) -> Socket {
    let Mode(mode) = keys.read("socket.mode", text(Mode::EXPECTED));
    let owner = keys.read("socket.owner", unless("", AccountKind("user")));
    let group = keys.read("socket.group", unless("", AccountKind("group")));
    let backlog = keys.read("socket.backlog", whole(1..=i32::MAX.unsigned_abs().into()));
    let allow_users = keys.read("socket.allow_users", list(AccountKind("user")));
    Socket { options: SocketOptions { mode, owner, group, backlog }, allow_users }
}

fn address() -> Text<Address> {
    text("an address: write unix:/path, unix:@name, 127.0.0.1:8090, [::1]:8090 or fd:NAME")
}

fn size(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

const WIRES: &[(&str, Wire)] = &[
    (Wire::Uwsgi.name(), Wire::Uwsgi),
    (Wire::FastCgi.name(), Wire::FastCgi),
    (Wire::Http.name(), Wire::Http),
];

const LEVELS: &[(&str, tracing::Level)] = &[
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
    ("trace", tracing::Level::TRACE),
];

const fn named(provider: Provider) -> (&'static str, Provider) {
    (provider.name(), provider)
}

const PROVIDERS: &[(&str, Provider)] = &[
    named(Provider::Cpu),
    named(Provider::Cuda),
    named(Provider::TensorRt),
    named(Provider::MiGraphX),
    named(Provider::OpenVino),
];

/// Providers in the order of preference: after the CPU, which takes everything, there is nothing to fall back on.
#[derive(Debug)]
struct Providers(List<Words<Provider>>);

impl Kind for Providers {
    type Out = Vec<Provider>;

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn read(&self, value: &Value) -> Read<Vec<Provider>> {
        let providers = self.0.read(value)?;
        match providers.iter().position(|provider| *provider == Provider::Cpu) {
            Some(at) if at + 1 < providers.len() => {
                let item = match &value.kind {
                    ValueKind::Array(items) => items.get(at).unwrap_or(value),
                    _ => value,
                };
                Err(wrong(
                    item,
                    "\"cpu\" has to be the last, since it runs everything: what follows is never used".into(),
                ))
            }
            _ => Ok(providers),
        }
    }

    fn typed(&self, text: &str) -> ValueKind {
        self.0.typed(text)
    }

    fn show(&self, out: &Vec<Provider>) -> toml::Value {
        self.0.show(out)
    }
}

/// A user or group, by name or by number.
#[derive(Debug)]
struct AccountKind(&'static str);

impl Kind for AccountKind {
    type Out = Account;

    fn expected(&self) -> String {
        format!("the name or number of a {}", self.0)
    }

    fn read(&self, value: &Value) -> Read<Account> {
        let text = match &value.kind {
            ValueKind::String(text) => text.clone(),
            ValueKind::I128(number) => number.to_string(),
            _ => return Err(self.is_not(value)),
        };
        text.parse().map_err(|_| self.is_not(value))
    }

    fn show(&self, out: &Account) -> toml::Value {
        out.to_string().into()
    }
}

/// Permission bits, as chmod has them: `"0660"`.
#[derive(Clone, Copy, Debug)]
struct Mode(u32);

impl Mode {
    const EXPECTED: &str = "a mode: write it in octal, like \"0660\"";
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
        let mode = mode.ok_or_else(|| format!("\"{}\" is not {}", text.escape_debug(), Self::EXPECTED))?;
        // connect(2): it takes write permission.
        if mode & 0o222 == 0 {
            return Err(format!(
                "\"{text}\" lets nobody connect: that takes write permission, as in \"0660\""
            ));
        }
        Ok(Self(mode))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// The name in a Host header.
#[derive(Debug)]
struct Host(String);

impl Host {
    const EXPECTED: &str = "the name of a host, without scheme and port";
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if (1..=253).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(format!("\"{}\" is not {}", text.escape_debug(), Self::EXPECTED))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
