//! The client's side of all three wires: one request, one answer, one connection, as a front end has it.

use crate::os::socket::{self, Address, Stream};
use anyhow::{Context, anyhow, bail};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, response};
use predictd_protocol::gateway::{
    Limits, cgi,
    detect::Wire,
    fastcgi::{Client, client::Event},
    uwsgi,
};
use serde_json::Value;
use std::{
    io::{self, Read},
    time::Duration,
};

/// Bytes of an answer that are more than anybody asks for by hand.
const ANSWER_MAX: u64 = 1 << 30;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    /// GET, POST ...
    pub(super) method: String,
    /// The path, with its query.
    pub(super) target: String,
    /// Beside those that say how long the body is.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Request {
    /// Sends it on `stream`, which leads to `address`, and reads the answer.
    pub(super) fn exchange(
        &self,
        wire: Wire,
        address: &Address,
        stream: &mut dyn Stream,
    ) -> anyhow::Result<(response::Parts, Bytes)> {
        match wire {
            Wire::Uwsgi => exchange(stream, &self.by_uwsgi()?),
            Wire::Http => exchange(stream, &self.by_http(address)),
            Wire::FastCgi => {
                let (vars, mut request) = (self.vars(), BytesMut::new());
                let vars = vars.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                let mut client = Client::new(usize::try_from(ANSWER_MAX)?);
                client.request(1, false, vars, &self.body, &mut request)?;
                send(stream, &request)?;
                client.feed(&read_all(stream)?)?;
                match client.poll() {
                    Some(Event::Answer { stdout, .. }) => split(stdout),
                    _ => bail!("the connection was closed before the answer was complete"),
                }
            }
        }
    }

    /// The bytes of it, for [`exchange`].
    pub(super) fn by_uwsgi(&self) -> anyhow::Result<Bytes> {
        let (vars, mut bytes) = (self.vars(), BytesMut::new());
        uwsgi::encode(vars.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), &mut bytes)?;
        bytes.extend_from_slice(&self.body);
        Ok(bytes.freeze())
    }

    fn by_http(&self, address: &Address) -> Bytes {
        let Self { method, target, headers, body } = self;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat().into()
    }

    /// As CGI has it.
    fn vars(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let mut vars: Vec<(String, String)> = [
            ("REQUEST_METHOD", &*self.method),
            ("REQUEST_URI", &self.target),
            ("QUERY_STRING", query),
            ("CONTENT_LENGTH", &self.body.len().to_string()),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in &self.headers {
            let name = name.to_uppercase().replace('-', "_");
            let name = if name == "CONTENT_TYPE" { name } else { format!("HTTP_{name}") };
            vars.push((name, value.clone()));
        }
        vars
    }
}

/// Sends the bytes of a request, which are of a wire where the answer ends with the connection, and reads it.
pub(super) fn exchange(stream: &mut dyn Stream, request: &[u8]) -> anyhow::Result<(response::Parts, Bytes)> {
    send(stream, request)?;
    split(read_all(stream)?)
}

/// Asks for JSON by `GET`.
pub(super) fn json(
    address: &Address,
    wire: Wire,
    path: &str,
    patience: Duration,
) -> anyhow::Result<(StatusCode, Value)> {
    let request = Request { method: "GET".into(), target: path.into(), ..Request::default() };
    let mut stream = socket::connect(address, patience)?;
    let (parts, body) = request.exchange(wire, address, &mut *stream)?;
    Ok((parts.status, serde_json::from_slice(&body)?))
}

/// A server may answer before it has read everything, and close: what it says then is still worth reading.
fn send(stream: &mut dyn Stream, request: &[u8]) -> anyhow::Result<()> {
    match stream.write_all(request) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("the request cannot be sent")
        }
        _ => Ok(()),
    }
}

fn read_all(stream: &mut dyn Stream) -> anyhow::Result<Bytes> {
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).context("the answer cannot be read")?;
    Ok(answer.into())
}

fn split(mut answer: Bytes) -> anyhow::Result<(response::Parts, Bytes)> {
    let limits = Limits { head: 1 << 20, ..Limits::default() };
    let (parts, end) = cgi::response(&answer, &limits)
        .map_err(|error| anyhow!("the answer makes no sense: {error}"))?
        .ok_or_else(|| anyhow!("the connection was closed without an answer; the server's log says why"))?;
    Ok((parts, answer.split_off(end)))
}
