//! The command line: a file a verb, and the exit code that says how it went.

mod admin;
mod amounts;
mod bench;
mod call;
mod check;
mod client;
mod doctor;
mod figures;
mod findings;
mod inspect;
mod line;
mod models;
mod nginx;
mod paint;
mod progress;
mod reload;
mod serve;
mod settings;
mod status;
mod stop;
mod surroundings;
mod table;
mod top;

use crate::{
    config::{self, Config, Overrides},
    model::{
        folder::{FolderError, ModelName},
        private,
    },
    os::{
        process,
        socket::{Address, AddressError},
        upgrade::Handover,
    },
    server::Unavailable,
    serving::LoadError,
};
use clap::{Args, Parser, Subcommand, builder::NonEmptyStringValueParser};
use std::{
    io::{Write, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// An application server for models: nginx talks to it by uwsgi, ONNX models run on all cores.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve, in the foreground
    Serve(serve::Serve),
    /// Send one request, straight to a socket, by any of the three protocols
    Call(call::Call),
    /// End a running server by its pidfile, wait, and say what came of it
    Stop(stop::Stop),
    /// Check the configuration, ONNX Runtime and every model, like `nginx -t`
    Check(check::Check),
    /// Say what a model takes and gives, how long it takes, and what a model.toml for it could be
    Inspect(inspect::Inspect),
    /// Have a running server read its configuration and models again, and wait for that
    Reload(reload::Reload),
    /// Say how a running server and its models stand
    Status(status::Status),
    /// Measure a model: run by the workers in a bare loop, and by a server through a socket
    Bench(bench::Bench),
    /// Show live what a running server does: requests, workers, queues, models
    Top(top::Top),
    /// Print the configuration of nginx that fits this server's
    Nginx(nginx::Nginx),
    /// Say what is wrong: nginx's way to the socket, limits, models, a running server; and what to do
    Doctor(doctor::Doctor),
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug)]
struct Source {
    #[command(flatten)]
    models: ModelSource,
    /// Where to listen: unix:/path, unix:@name, 127.0.0.1:8090 (several times for several)
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Vec<String>,
    /// Where the admin interface listens; "" for nowhere
    #[arg(long, value_name = "ADDRESS", value_parser = address_or_none)]
    admin: Option<String>,
}

/// The part of it that is about models.
#[derive(Args, Clone, Debug)]
struct ModelSource {
    /// The configuration file; without one there are defaults, environment and flags
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of models
    #[arg(long, value_name = "DIR", value_parser = NonEmptyStringValueParser::new())]
    models: Option<String>,
    /// One model, a folder or an .onnx file, beside those of the folder (several times for several)
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path)]
    model: Vec<(String, PathBuf)>,
    /// Take models of kind "fake" too, which misbehave on purpose
    #[arg(long)]
    allow_fake: bool,
}

fn address(text: &str) -> Result<String, AddressError> {
    text.parse().map(|address: Address| address.to_string())
}

fn address_or_none(text: &str) -> Result<String, AddressError> {
    if text.is_empty() { Ok(String::new()) } else { address(text) }
}

fn named_path(text: &str) -> Result<(String, PathBuf), String> {
    let named = text.split_once('=').filter(|(_, path)| !path.is_empty());
    let (name, path) = named.ok_or("write NAME=PATH")?;
    let name: ModelName = name.parse().map_err(|error| format!("{error}"))?;
    Ok((name.to_string(), path.into()))
}

impl Source {
    fn load(self) -> Result<Config, config::Error> {
        self.models.load(Overrides { listen: self.listen, admin: self.admin, ..Overrides::default() })
    }

    fn file(&self) -> Option<&Path> {
        self.models.config.as_deref()
    }
}

impl ModelSource {
    fn load(self, others: Overrides) -> Result<Config, config::Error> {
        let overrides = Overrides {
            models: self.models,
            extra_models: self.model,
            allow_fake: self.allow_fake,
            ..others
        };
        config::load(self.config.as_deref(), config::environment(), overrides)
    }
}

/// How a command ended, by the numbers of sysexits.h.
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const INTERNAL: u8 = 70;
const CONFIG: u8 = 78;

/// Does what the command line asks; a server goes on with what was handed over to it.
#[must_use]
pub fn main(handover: Handover) -> ExitCode {
    // For every command, so that `doctor` sees what a server would have that is started where it is.
    process::raise_open_files();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.verb {
        Verb::Serve(serve) => serve.run(handover),
        Verb::Stop(stop) => stop.run(),
        Verb::Call(call) => call.run(),
        Verb::Check(check) => check.run(),
        Verb::Inspect(inspect) => inspect.run(),
        Verb::Reload(reload) => reload.run(),
        Verb::Status(status) => status.run(),
        Verb::Bench(bench) => bench.run(),
        Verb::Top(top) => top.run(),
        Verb::Nginx(nginx) => nginx.run(),
        Verb::Doctor(doctor) => doctor.run(),
    };
    done.unwrap_or_else(|error| fail(&error).into())
}

/// Ends the process without its exit handlers: a load that was given up may be inside ONNX Runtime, which they would take from
/// under it.
fn leave(code: u8) -> ! {
    let _ = stdout().flush();
    private::remove_own();
    process::exit_now(code)
}

/// Says what went wrong; gives the exit code for it.
fn fail(error: &anyhow::Error) -> u8 {
    tell(error);
    exit_code(error)
}

fn tell(error: &anyhow::Error) {
    match error.downcast_ref() {
        Some(usage @ config::Error::Wrong(problems)) if usage.is_usage() => {
            problems.iter().for_each(|problem| eprintln!("error: {problem}"));
            eprintln!("\nFor more information, try '--help'.");
        }
        // Each line begins with its place, as editors look for it.
        Some(config::Error::Wrong(problems)) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            let plural = if problems.len() == 1 { "" } else { "s" };
            eprintln!("predictd: {} error{plural} in the configuration", problems.len());
        }
        _ => eprintln!("predictd: {error:#}"),
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref().is_some_and(config::Error::is_usage) {
        USAGE
    } else if error.is::<config::Error>() || error.is::<LoadError>() || error.is::<FolderError>() {
        CONFIG
    } else if error.chain().any(<dyn std::error::Error + 'static>::is::<Unavailable>) {
        UNAVAILABLE
    } else {
        INTERNAL
    }
}
