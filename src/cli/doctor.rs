//! `predictd doctor`: looks at everything between nginx and a model, and says what is wrong and what to do.
//!
//! It changes nothing and needs no rights; what it may not see, it says.

use super::{
    CONFIG, Source, UNAVAILABLE,
    admin::Admin,
    client,
    findings::{self, Screen},
    surroundings::{self, Nginx},
};
use crate::{
    config::{self, Config},
    doctor::{
        Finding, Report, Severity, Subject,
        asked::Asked,
        explain::{self, Explanation},
        identity::{Accounts, Process},
        nginx, onnxruntime, plural, server,
        socket::{self, Answer, Visitors},
        system,
    },
    os::socket::Address,
    server as whole,
    serving::{self, Checked, Failure},
};
use clap::Args;
use http::StatusCode;
use serde_json::json;
use std::{
    io::{Read, Write, stdin, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

const EXIT: &str = "\
Exits with 0 if nothing is wrong, notes aside; else the worst decides: 78 if it is written wrong (configuration, \
nginx, models, limits), 69 if it is missing or does not answer (socket, server, ONNX Runtime).";

#[derive(Args, Debug)]
#[command(after_help = EXIT)]
pub(super) struct Doctor {
    #[command(flatten)]
    source: Source,
    /// nginx's main configuration file; without it `nginx -T` is asked, if nginx is installed
    #[arg(long, value_name = "FILE")]
    nginx: Option<PathBuf>,
    /// Explain a line of nginx's, predictd's or uWSGI's log; "-" reads lines from standard input
    #[arg(long, value_name = "LOG LINE", allow_hyphen_values = true)]
    explain: Option<String>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// How long a running server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is read of a log.
const LOG_MAX: u64 = 1 << 20;

impl Doctor {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { source, nginx, explain, json } = self;
        let nginx = Nginx::read(nginx.as_deref());
        match explain {
            Some(line) => explain_lines(&line, source, &nginx, json),
            None => examine(source, &nginx, json),
        }
    }
}

/// Looks at everything.
fn examine(source: Source, nginx: &Nginx, json: bool) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let file = source.file().map(Path::to_owned);
    match source.load() {
        Ok(config) => {
            let from = file.map_or("no file: defaults, environment and flags".to_owned(), |file| {
                file.display().to_string()
            });
            report.looked(Subject::Configuration, from);
            report.add(config.notes.iter().map(|note| {
                Subject::Configuration
                    .note("ignored", note.as_str())
                    .at("the environment, or the file")
                    .why("It has no effect.")
                    .fix("predictd check   # shows what is in force")
            }));
            all(&config, nginx, &mut report);
        }
        Err(error) => {
            report.add(invalid(&error));
            for subject in
                [Subject::Nginx, Subject::Socket, Subject::Server, Subject::Models, Subject::System]
            {
                report.unseen(subject, "the configuration has to be right first");
            }
        }
    }
    report.sort();
    let text =
        if json { format!("{:#}\n", findings::json(&report)) } else { Screen::of_terminal().report(&report) };
    // Where nobody reads any more, the exit code still says it.
    let _ = stdout().write_all(text.as_bytes());
    Ok(exit(&report.findings))
}

/// A finding for each mistake.
fn invalid(error: &config::Error) -> Vec<Finding> {
    let finding = |what: String, place: String| {
        Subject::Configuration
            .error("invalid", what)
            .at(place)
            .why("predictd does not start, and a reload changes nothing.")
            .fix("predictd check   # until it is content")
    };
    match error {
        config::Error::Wrong(problems) => problems
            .iter()
            .map(|problem| {
                let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
                finding(key + &problem.what, problem.origin.to_string())
            })
            .collect(),
        other => vec![finding("the configuration cannot be read".into(), other.to_string())],
    }
}

/// The worst decides: what is written wrong, or what is not there.
fn exit(findings: &[Finding]) -> ExitCode {
    match findings.first() {
        None => ExitCode::SUCCESS,
        Some(finding) if finding.severity == Severity::Note => ExitCode::SUCCESS,
        Some(finding) if finding.subject.is_written() => CONFIG.into(),
        Some(_) => UNAVAILABLE.into(),
    }
}

fn all(config: &Config, nginx: &Nginx, report: &mut Report) {
    let (asked, accounts) = (placed(config, nginx), Accounts::System);
    let aborts_ignored = of_nginx(nginx, &asked, report);
    let visitors = surroundings::visitors(nginx, &accounts);
    let found = of_sockets(&asked, &visitors, &accounts, report);
    of_system(nginx, &asked, found.process.as_ref(), aborts_ignored, report);
    let runtime = of_runtime(config, &asked, report);
    // Where none answers, and none can be said not to be there, one may be found by its admin interface.
    let asks = found.answers.is_some() || found.hidden;
    if asks && of_server(config, found.answers.as_ref(), &asked, report) {
        return;
    }
    if runtime {
        of_models(config, report);
    } else {
        report.unseen(Subject::Models, "there is no ONNX Runtime to load them");
    }
}

/// What is asked for, with systemd's sockets at their addresses as far as they are to be found.
fn placed(config: &Config, nginx: &Nginx) -> Asked {
    let asked = Asked::of(config);
    if asked.unplaced().next().is_none() {
        return asked;
    }
    let found = surroundings::inherited(nginx, &asked);
    asked.placed(found)
}

/// Whether nginx keeps quiet about clients that have gone.
fn of_nginx(nginx: &Nginx, asked: &Asked, report: &mut Report) -> bool {
    match nginx {
        Nginx::Read { from, tree, named } => {
            report.looked(Subject::Nginx, from.as_str());
            let mut found = nginx::findings(tree, asked);
            if !named {
                found
                    .iter_mut()
                    .filter(|one| one.name == "no-pass")
                    .for_each(|one| one.severity = Severity::Note);
            }
            let leads = || nginx::passes(tree).iter().any(|pass| pass.leads_to(&asked.listen));
            if let Some(named) = asked.unplaced().next().filter(|_| !leads()) {
                report.unseen(
                    Subject::Nginx,
                    format!("whether it passes to {named}: predictd answers at none of the addresses that it passes to"),
                );
            }
            let aborts_ignored = found.iter().any(|finding| finding.name == "client-abort");
            report.add(found);
            aborts_ignored
        }
        Nginx::Wrong(error) => {
            report.add([Subject::Nginx
                .error("unreadable", "nginx's configuration cannot be read")
                .at(error.as_str())
                .why("nginx would not start with it, or it is not for our eyes.")
                .fix("nginx -t   # as root, says it in nginx's own words")]);
            false
        }
        Nginx::Unseen(reason) => {
            report.unseen(Subject::Nginx, reason.as_str());
            false
        }
    }
}

/// Who is at the addresses of `listen`.
#[derive(Debug, Default)]
struct Found {
    /// An address where predictd answers.
    answers: Option<Address>,
    /// The process that holds one.
    process: Option<Process>,
    /// Whether a server may be there all the same.
    hidden: bool,
}

fn of_sockets(asked: &Asked, visitors: &Visitors, accounts: &Accounts, report: &mut Report) -> Found {
    let somaxconn = socket::somaxconn();
    let mut found = Found::default();
    for address in &asked.listen {
        let seen = socket::look(address, asked, accounts);
        let who = visitors.configured.as_ref().or(visitors.running.as_ref());
        let eyes = who.map_or("nginx's user is not known".into(), |who| format!("for nginx as {}", who.name));
        match &seen.address {
            Address::Unix(_) => report.looked(Subject::Socket, format!("{address}, {eyes}")),
            Address::Inherited(_) => {
                report.unseen(
                    Subject::Socket,
                    format!("{address}: only systemd knows where it is (systemctl list-sockets)"),
                );
            }
            _ => report.looked(Subject::Socket, address.to_string()),
        }
        if let Some(hidden) = &seen.hidden {
            report.unseen(
                Subject::Socket,
                format!("{}: we may not look there (try as root)", hidden.display()),
            );
        }
        match seen.answer {
            Answer::Denied => {
                report.unseen(
                    Subject::Socket,
                    format!("{address}: we may not connect ourselves (try as root)"),
                );
            }
            Answer::TurnedAway => report.unseen(
                Subject::Socket,
                format!("{address}: who answers; socket.allow_users does not name us (try as root)"),
            ),
            _ => {}
        }
        report.add(socket::findings(&seen, visitors, asked, somaxconn, accounts));
        let ours = seen.holder.as_ref().is_some_and(Process::is_predictd);
        match seen.answer {
            Answer::Predictd => {
                found.answers = found.answers.or_else(|| Some(address.clone()));
                found.process = found.process.or(seen.holder);
            }
            Answer::Silent | Answer::Denied | Answer::TurnedAway | Answer::Full => found.hidden = true,
            Answer::Closed | Answer::Other => found.hidden |= ours,
            Answer::Refused | Answer::Absent => {}
            Answer::Error(_) => found.hidden |= matches!(address, Address::Inherited(_)),
        }
    }
    found
}

fn of_system(
    nginx: &Nginx,
    asked: &Asked,
    process: Option<&Process>,
    aborts_ignored: bool,
    report: &mut Report,
) {
    let ports = match nginx {
        Nginx::Read { tree, .. } => nginx::ports(tree),
        _ => vec![80, 443],
    };
    let profile = surroundings::profile(&Accounts::System);
    let seen = system::look(process, &ports, &profile);
    let whose = process.map_or("this shell".to_owned(), |process| format!("process {}", process.pid));
    report.looked(Subject::System, format!("open files, cores and memory of {whose}"));
    report.add(system::findings(&seen, asked, aborts_ignored));
}

/// Whether there is one.
fn of_runtime(config: &Config, asked: &Asked, report: &mut Report) -> bool {
    let seen = onnxruntime::look(config.onnxruntime.library.as_deref());
    if let Ok(path) = &seen.library {
        report.looked(Subject::OnnxRuntime, path.display().to_string());
    }
    report.add(onnxruntime::findings(&seen, &asked.providers));
    seen.library.is_ok() && seen.missing.is_empty()
}

/// Models as the server that runs has them: to load them here too would take their memory twice. It is asked at the address
/// where it `answers`, else by its admin interface; whether there was one to ask.
fn of_server(config: &Config, answers: Option<&Address>, asked: &Asked, report: &mut Report) -> bool {
    let mut said = server::Said::default();
    let admin = Admin::of(config);
    if let Some(admin) = &admin {
        match admin.ask("GET", "/status", PATIENCE) {
            Ok((StatusCode::OK, status)) => {
                report.looked(Subject::Server, format!("GET /status of {admin}"));
                said.status = Some(status);
            }
            Ok((status, _)) => {
                report.unseen(Subject::Server, format!("{admin} answers GET /status by {status}"));
            }
            Err(silence) => report.unseen(Subject::Server, format!("GET /status: {silence}")),
        }
    }
    let ask = |path: &str| match (answers, &admin) {
        (Some(address), _) => client::json(address, asked.wire(), path, PATIENCE).ok(),
        (None, Some(admin)) if said.status.is_some() => admin.ask("GET", path, PATIENCE).ok(),
        (None, _) => None,
    };
    if said.status.is_none() {
        let Some(address) = answers else { return false };
        report.looked(Subject::Server, format!("each model's ready and statistics, by {address}"));
        for (name, _) in &asked.models {
            if let Some((status, answer)) = ask(&format!("/v2/models/{name}/ready"))
                && !status.is_success()
            {
                let reason = answer["error"].as_str().unwrap_or("it is not ready").to_owned();
                said.not_ready.push((name.clone(), reason));
            }
        }
    }
    said.statistics = ask("/v2/models/stats").filter(|(status, _)| status.is_success()).map(|(_, all)| all);
    report.add(server::findings(&said, |model| asked.deadline_of(model)));
    report.unseen(
        Subject::Models,
        "the files, which predictd check would load: the running server has its own",
    );
    true
}

/// Models as a start would load them.
fn of_models(config: &Config, report: &mut Report) {
    let failed = |error: String| {
        Subject::Models
            .error("models", "the models cannot be loaded")
            .at(error)
            .why("predictd does not start.")
            .fix("predictd check")
    };
    let prepared = match whole::prepare(Arc::new(config.clone())) {
        Ok(prepared) => prepared,
        Err(error) => return report.add([failed(format!("{error:#}"))]),
    };
    let (mut good, mut bad) = (0, Vec::new());
    let checked = serving::check(&prepared.setup, &mut |checked, _| match checked {
        Checked::Ready(_) => good += 1,
        Checked::Failed(name, failure) => bad.push(cannot_load(name, failure)),
    });
    report.add(bad);
    report.add(checked.err().map(|error| failed(error.to_string())));
    let runtime = prepared.setup.runtime.version();
    report.looked(
        Subject::Models,
        format!("{}, by {runtime}", plural(good, "model is fine", "models are fine")),
    );
}

fn cannot_load(name: &str, failure: &Failure) -> Finding {
    Subject::Models
        .error("load", format!("model '{name}' cannot be loaded"))
        .at(failure.to_string())
        .why("predictd does not start with it, unless strict_models = false.")
        .fix(format!("predictd check   # or: strict_models = false, to serve the others without {name}"))
}

/// Explains each kind of line once, and looks at what it names.
fn explain_lines(line: &str, source: Source, nginx: &Nginx, json: bool) -> anyhow::Result<ExitCode> {
    let mut text = line.to_owned();
    if line == "-" {
        let mut bytes = Vec::new();
        stdin().lock().take(LOG_MAX).read_to_end(&mut bytes)?;
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    let mut known: Vec<Explanation> = Vec::new();
    for explanation in text.lines().filter_map(explain::explain) {
        if !known.contains(&explanation) {
            known.push(explanation);
        }
    }
    if known.is_empty() {
        eprintln!("predictd: that is no line of nginx's, predictd's or uWSGI's log that is known here");
        return Ok(UNAVAILABLE.into());
    }
    let asked = placed(&source.load()?, nginx);
    let now = state_now(&known, nginx, &asked);
    let text = if json {
        let lines: Vec<_> = known
            .iter()
            .map(|one| {
                let upstream = one.upstream.as_ref().map(ToString::to_string);
                json!({ "what": one.what, "where": upstream, "why": one.why, "fix": one.fix })
            })
            .collect();
        format!("{:#}\n", json!({ "explanations": lines, "now": findings::json(&now) }))
    } else {
        let screen = Screen::of_terminal();
        let mut out = String::new();
        for explanation in &known {
            screen.explanation(&mut out, explanation);
            out.push('\n');
        }
        out + "as it is now:\n\n" + &screen.report(&now)
    };
    let _ = stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with the addresses that the lines name, and with nginx's configuration.
fn state_now(known: &[Explanation], nginx: &Nginx, asked: &Asked) -> Report {
    let mut report = Report::default();
    let accounts = Accounts::System;
    let mut addresses: Vec<Address> =
        known.iter().filter_map(|explanation| explanation.upstream.as_ref()?.address()).collect();
    addresses.dedup();
    // A line that names nobody is about the server that is configured.
    let listen = if addresses.is_empty() { asked.listen.clone() } else { addresses };
    let asked = Asked { listen, ..asked.clone() };
    of_nginx(nginx, &asked, &mut report);
    // Only what fits such a line: a log has no notes.
    report.findings.retain(|finding| finding.severity != Severity::Note && finding.name != "no-pass");
    let visitors = surroundings::visitors(nginx, &accounts);
    of_sockets(&asked, &visitors, &accounts, &mut report);
    report.sort();
    report
}
