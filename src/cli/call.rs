//! `predictd call`: one request, straight to a server's socket, as a front end would send it.

use super::{INTERNAL, UNAVAILABLE, client::Request};
use crate::os::socket::{self, Address, Stream};
use anyhow::Context;
use clap::{Args, ValueEnum};
use predictd_protocol::gateway::{detect::Wire, uwsgi};
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
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write \"Name: value\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

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
        let request = Request {
            method: self.method.clone().unwrap_or_else(|| "GET".into()),
            target: self.path.clone().unwrap_or_else(|| "/".into()),
            headers: self.header.clone(),
            body: self.body()?.into(),
        };
        let (parts, body) = request
            .exchange(wire, &self.address, &mut *stream)
            .with_context(|| format!("{} by {wire}", self.address))?;
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
