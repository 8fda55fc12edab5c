//! `predictd call`: one request, straight to a server's socket, as a front end would send it.

use super::{INTERNAL, UNAVAILABLE};
use crate::os::socket::{self, Address, Stream};
use anyhow::{Context, anyhow, bail};
use bytes::{Bytes, BytesMut};
use clap::{Args, ValueEnum};
use http::{StatusCode, response};
use predictd_protocol::gateway::{
    Limits, cgi,
    detect::Wire,
    fastcgi::{Client, client::Event},
    uwsgi,
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    process::ExitCode,
    time::Duration,
};

#[derive(Args, Debug)]
pub(super) struct Call {
    /// The protocol to speak
    #[arg(long, value_enum, default_value = "uwsgi")]
    wire: WireName,
    /// Only ask by uwsgi whether anybody is there
    #[arg(long, conflicts_with_all = ["method", "path", "data", "header", "wire"])]
    ping: bool,
    /// Where the server listens: unix:/path, unix:@name, 127.0.0.1:8090
    address: Address,
    /// GET, POST ...
    #[arg(required_unless_present = "ping")]
    method: Option<String>,
    /// /predict/digits, with ?query
    #[arg(required_unless_present = "ping")]
    path: Option<String>,
    /// The body, or @FILE for a file's content, @- for standard input's
    #[arg(long, value_name = "@FILE")]
    data: Option<String>,
    /// A header, "Name: value" (several times for several)
    #[arg(short = 'H', long, value_name = "HEADER", value_parser = header)]
    header: Vec<(String, String)>,
    /// Print the head of the answer too
    #[arg(short, long)]
    include: bool,
    /// Seconds to wait for the answer
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum WireName {
    Uwsgi,
    Fastcgi,
    Http,
}

impl WireName {
    pub(super) fn wire(self) -> Wire {
        match self {
            Self::Uwsgi => Wire::Uwsgi,
            Self::Fastcgi => Wire::FastCgi,
            Self::Http => Wire::Http,
        }
    }

    pub(super) fn of(wire: Wire) -> Self {
        match wire {
            Wire::Uwsgi => Self::Uwsgi,
            Wire::FastCgi => Self::Fastcgi,
            Wire::Http => Self::Http,
        }
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write \"Name: value\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Bytes of an answer that are more than anybody asks for by hand.
const ANSWER_MAX: u64 = 1 << 30;

/// What a call exits with when the answer is an error.
const ERROR_STATUS: u8 = 1;

impl Call {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let timeout = Duration::from_secs(self.timeout);
        let mut stream = match socket::connect(&self.address, timeout) {
            Ok(stream) => stream,
            Err(error) => {
                eprintln!("predictd: cannot connect to {}: {error}", self.address);
                return Ok(UNAVAILABLE.into());
            }
        };
        if self.ping {
            return ping(&mut *stream);
        }
        let wire = self.wire.wire();
        let answer =
            self.exchange(wire, &mut *stream).with_context(|| format!("{} by {wire}", self.address))?;
        let (parts, body) = answer;
        let mut out = std::io::stdout().lock();
        if self.include {
            writeln!(out, "{}", parts.status)?;
            for (name, value) in &parts.headers {
                writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
            }
            writeln!(out)?;
        }
        out.write_all(&body)?;
        out.flush()?;
        let failed = parts.status.is_client_error() || parts.status.is_server_error();
        if failed && !self.include {
            eprintln!("\npredictd: {}", parts.status);
        }
        Ok(if failed { ERROR_STATUS.into() } else { ExitCode::SUCCESS })
    }

    fn exchange(&self, wire: Wire, stream: &mut dyn Stream) -> anyhow::Result<(response::Parts, Bytes)> {
        let body = self.body()?;
        let mut request = BytesMut::new();
        match wire {
            Wire::Uwsgi => {
                let vars = self.vars(body.len());
                uwsgi::encode(
                    vars.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
                    &mut request,
                )?;
                request.extend_from_slice(&body);
                send(stream, &request)?;
                split(read_all(stream)?)
            }
            Wire::Http => {
                request.extend_from_slice(self.http_head(body.len()).as_bytes());
                request.extend_from_slice(&body);
                send(stream, &request)?;
                split(read_all(stream)?)
            }
            Wire::FastCgi => {
                let vars = self.vars(body.len());
                let vars = vars.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                let mut client = Client::new(usize::try_from(ANSWER_MAX)?);
                client.request(1, false, vars, &body, &mut request)?;
                send(stream, &request)?;
                client.feed(&read_all(stream)?)?;
                match client.poll() {
                    Some(Event::Answer { stdout, .. }) => split(stdout),
                    _ => bail!("the connection was closed before the answer was complete"),
                }
            }
        }
    }

    fn body(&self) -> anyhow::Result<Vec<u8>> {
        match self.data.as_deref() {
            None => Ok(Vec::new()),
            Some("@-") => {
                let mut body = Vec::new();
                std::io::stdin().lock().read_to_end(&mut body)?;
                Ok(body)
            }
            Some(text) => match text.strip_prefix('@') {
                Some(file) => std::fs::read(file).with_context(|| file.to_owned()),
                None => Ok(text.as_bytes().to_vec()),
            },
        }
    }

    fn method_and_target(&self) -> (&str, &str) {
        (self.method.as_deref().unwrap_or("GET"), self.path.as_deref().unwrap_or("/"))
    }

    /// The request as CGI has it.
    fn vars(&self, length: usize) -> Vec<(String, String)> {
        let (method, target) = self.method_and_target();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let mut vars: Vec<(String, String)> = [
            ("REQUEST_METHOD", method),
            ("REQUEST_URI", target),
            ("QUERY_STRING", query),
            ("CONTENT_LENGTH", &length.to_string()),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in &self.header {
            let name = name.to_uppercase().replace('-', "_");
            let name = if name == "CONTENT_TYPE" { name } else { format!("HTTP_{name}") };
            vars.push((name, value.clone()));
        }
        vars
    }

    fn http_head(&self, length: usize) -> String {
        let (method, target) = self.method_and_target();
        let headers: String =
            self.header.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n",
            self.address
        )
    }
}

/// Asks for JSON by `GET`.
pub(super) fn json(
    address: &Address,
    wire: Wire,
    path: &str,
    patience: Duration,
) -> anyhow::Result<(StatusCode, Value)> {
    let call = Call {
        wire: WireName::of(wire),
        ping: false,
        address: address.clone(),
        method: Some("GET".into()),
        path: Some(path.into()),
        data: None,
        header: Vec::new(),
        include: false,
        timeout: patience.as_secs(),
    };
    let mut stream = socket::connect(address, patience)?;
    let (parts, body) = call.exchange(wire, &mut *stream)?;
    Ok((parts.status, serde_json::from_slice(&body)?))
}

fn ping(stream: &mut dyn Stream) -> anyhow::Result<ExitCode> {
    let mut answer = [0; uwsgi::Header::LEN];
    let ping = uwsgi::Header { modifier1: uwsgi::MODIFIER_PING, datasize: 0, modifier2: 0 }.encode();
    let answered = stream.write_all(&ping).and_then(|()| stream.read_exact(&mut answer));
    if answered.is_ok() && answer == uwsgi::PONG {
        println!("the server answers");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("predictd: somebody listens there, but does not answer a uwsgi ping");
    Ok(INTERNAL.into())
}

/// A server may answer before it has read everything, and close: what it says then is still worth reading.
pub(super) fn send(stream: &mut dyn Stream, request: &[u8]) -> anyhow::Result<()> {
    match stream.write_all(request) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("the request cannot be sent")
        }
        _ => Ok(()),
    }
}

pub(super) fn read_all(stream: &mut dyn Stream) -> anyhow::Result<Bytes> {
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).context("the answer cannot be read")?;
    Ok(answer.into())
}

pub(super) fn split(mut answer: Bytes) -> anyhow::Result<(response::Parts, Bytes)> {
    let limits = Limits { head: 1 << 20, ..Limits::default() };
    let (parts, end) = cgi::response(&answer, &limits)
        .map_err(|error| anyhow!("the answer makes no sense: {error}"))?
        .ok_or_else(|| anyhow!("the connection was closed without an answer; the server's log says why"))?;
    Ok((parts, answer.split_off(end)))
}
