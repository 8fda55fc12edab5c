//! Compression of bodies, both ways: gzip, and deflate, by which HTTP means the format of zlib (RFC 9110, section 8.4.1).
//!
//! Whole bodies in memory: what a body grows to is counted as it grows, and work for nobody is given up on the way.

use super::{ask::SMALL, error::Error};
use crate::wire::{Allowance, Overgrown, Pieces};
use axum::{body, extract::Request, middleware::Next, response::Response};
use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::{Extensions, HeaderMap, HeaderValue, header};
use predictd_protocol::excerpt::excerpt;
use std::sync::OnceLock;

/// Smaller answers go as they are: with their head they fill one packet of a network either way, and what is saved is less
/// than what the client pays to unpack it.
const WORTH_IT: usize = 1024;

/// The fastest with Huffman codes of its own, which lists of numbers need: they become less than half. The usual level, 6, takes
/// three times as long for a twentieth more.
const LEVEL: u32 = 2;

/// What must be saved, or a body goes as it is: a fourth. Tensors as bytes hardly ever save that much.
const fn worthwhile(length: usize) -> usize {
    length - length / 4
}

/// How much is done between two looks at whether anybody still waits.
const STEP: usize = 16 * 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
}

/// Why a compressed body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// Another coding, or several.
    #[error("content encoding '{}' is not taken here; send gzip, deflate or identity, and one of them", excerpt(.0))]
    Unknown(String),
    /// Something in it is wrong.
    #[error("the body is no valid {0}")]
    Broken(&'static str),
    /// It ends too early.
    #[error("the {0} body is truncated")]
    Truncated(&'static str),
    /// It goes on behind its end.
    #[error("{1} bytes are left in the body behind the end of its {0}")]
    Trailing(&'static str, usize),
    /// What it uncompresses to.
    #[error(transparent)]
    Overgrown(#[from] Overgrown),
    /// Told to nobody.
    #[error("nobody waits for the answer any more")]
    Abandoned,
}

impl Coding {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let is = |other| name.eq_ignore_ascii_case(other);
        // The old name counts as the same (RFC 9110, section 8.4.1.3).
        if is("gzip") || is("x-gzip") { Some(Self::Gzip) } else { is("deflate").then_some(Self::Deflate) }
    }

    fn decoder(self) -> Decompress {
        match self {
            Self::Gzip => Decompress::new_gzip(WINDOW_BITS),
            Self::Deflate => Decompress::new(true),
        }
    }

    fn encoder(self) -> Compress {
        match self {
            Self::Gzip => Compress::new_gzip(Compression::new(LEVEL), WINDOW_BITS),
            Self::Deflate => Compress::new(Compression::new(LEVEL), true),
        }
    }
}

/// The largest window there is: what others have compressed may need it.
const WINDOW_BITS: u8 = 15;

/// A request's compressed body.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    coding: Coding,
    allowance: Allowance,
}

impl Packed {
    /// What the headers say of the body; `None` where it is as it is.
    pub(super) fn of(headers: &HeaderMap, extensions: &Extensions) -> Result<Option<Self>, CodingError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
        let text = String::from_utf8_lossy(value.as_bytes());
        let name = text.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Ok(None);
        }
        let coding = Coding::from_name(name).ok_or_else(|| CodingError::Unknown(name.to_owned()))?;
        let allowance = extensions.get::<Allowance>().cloned().unwrap_or_default();
        Ok(Some(Self { coding, allowance }))
    }

    /// Uncompresses a body, for as long as it `is_wanted`.
    pub(super) fn unpack(&self, body: &[u8], is_wanted: impl Fn() -> bool) -> Result<Bytes, CodingError> {
        let name = self.coding.name();
        let (mut growing, mut rest) = (self.allowance.begin(), body);
        loop {
            let mut decoder = self.coding.decoder();
            loop {
                if !is_wanted() {
                    return Err(CodingError::Abandoned);
                }
                let unpacked = growing.with_room()?;
                let (taken, length) = (decoder.total_in(), unpacked.len());
                let piece = &rest[..rest.len().min(STEP)];
                let status = decoder
                    .decompress_vec(piece, unpacked, FlushDecompress::None)
                    .map_err(|_| CodingError::Broken(name))?;
                let taken = to_usize(decoder.total_in() - taken);
                rest = &rest[taken..];
                match status {
                    Status::StreamEnd => break,
                    _ if taken == 0 && unpacked.len() == length => return Err(CodingError::Truncated(name)),
                    _ => {}
                }
            }
            // A gzip file may be several, one behind the other (RFC 1952, section 2.2).
            if self.coding != Coding::Gzip || !rest.starts_with(&GZIP_MAGIC) {
                break;
            }
        }
        if !rest.is_empty() {
            return Err(CodingError::Trailing(name, rest.len()));
        }
        Ok(growing.finish()?)
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What a client takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    coding: Option<Coding>,
    /// Whether it would rather have a small body compressed than not.
    always: bool,
}

impl Accepted {
    /// The coding that the client likes best, by `Accept-Encoding` (RFC 9110, section 12.5.3). A client that takes none of
    /// ours gets the body as it is, even where it says that it does not take that.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let none = Self::default();
        let Some(Ok(text)) = headers.get(header::ACCEPT_ENCODING).map(HeaderValue::to_str) else {
            return none;
        };
        let (mut gzip, mut deflate, mut identity, mut others) = (None, None, None, None);
        for element in text.split(',') {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let Some(weight) = parts.next().map_or(Some(1000), weight) else { continue };
            match Coding::from_name(name) {
                Some(Coding::Gzip) => gzip = Some(weight),
                Some(Coding::Deflate) => deflate = Some(weight),
                None if name == "*" => others = Some(weight),
                None if name.eq_ignore_ascii_case("identity") => identity = Some(weight),
                None => {}
            }
        }
        let gzip = gzip.or(others).unwrap_or(0);
        let deflate = deflate.or(others).unwrap_or(0);
        let (coding, best) = if gzip >= deflate { (Coding::Gzip, gzip) } else { (Coding::Deflate, deflate) };
        if best == 0 || identity.is_some_and(|identity| identity > best) {
            return none;
        }
        Self { coding: Some(coding), always: identity.or(others.filter(|others| *others == 0)) == Some(0) }
    }

    /// Compresses a body where the client takes it and enough is saved, for as long as it `is_wanted`.
    pub(super) fn pack(self, body: &Pieces, is_wanted: impl Fn() -> bool) -> Option<(Coding, Vec<u8>)> {
        let length = body.len();
        let coding = self.coding.filter(|_| self.always || varies(length))?;
        let most = if self.always { usize::MAX } else { worthwhile(length) };
        let mut encoder = coding.encoder();
        let mut packed = Vec::with_capacity((length / 8).max(256));
        let steps = body.iter().flat_map(|piece| piece.chunks(STEP)).map(|step| (step, FlushCompress::None));
        for (mut rest, flush) in steps.chain([(&[][..], FlushCompress::Finish)]) {
            loop {
                if !is_wanted() {
                    return None;
                }
                let before = encoder.total_in();
                let status = encoder
                    .compress_vec(rest, &mut packed, flush)
                    .expect("a new encoder, and not used after its end");
                let done = encoder.total_in();
                rest = &rest[to_usize(done - before)..];
                let done = to_usize(done);
                if packed.len() >= most || !self.always && done >= SMALL && packed.len() > worthwhile(done) {
                    return None;
                }
                if packed.len() == packed.capacity() {
                    packed.reserve(packed.len());
                }
                if status == Status::StreamEnd || flush == FlushCompress::None && rest.is_empty() {
                    break;
                }
            }
        }
        Some((coding, packed))
    }
}

/// Bytes of what is in memory.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("no more than there is in memory")
}

/// Thousandths, of `q=0.5`.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let weight: f32 = value.trim().parse().ok()?;
    (name.trim().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&weight))
        .then_some((weight * 1000.0) as u16)
}

/// Whether a body of that length may be compressed, so that what a cache keeps of it depends on `Accept-Encoding`.
fn varies(length: usize) -> bool {
    length >= WORTH_IT
}

/// Marks an answer whose body had `length` bytes before it was compressed, if it was.
pub(super) fn mark(headers: &mut HeaderMap, length: usize, coding: Option<Coding>) {
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    if coding.is_some() || varies(length) {
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// A body that never changes, compressed no more than once in each way.
pub(super) struct Constant {
    body: Bytes,
    gzip: OnceLock<Option<Bytes>>,
    deflate: OnceLock<Option<Bytes>>,
}

impl Constant {
    pub(super) const fn new(body: &'static str) -> Self {
        Self { body: Bytes::from_static(body.as_bytes()), gzip: OnceLock::new(), deflate: OnceLock::new() }
    }

    /// It, as a client likes it best.
    pub(super) fn answer(&self, accepted: Accepted) -> Response {
        let packed = accepted.coding.and_then(|coding| {
            let place = match coding {
                Coding::Gzip => &self.gzip,
                Coding::Deflate => &self.deflate,
            };
            let pack = || Some(accepted.pack(&self.body.clone().into(), || true)?.1.into());
            Some((coding, place.get_or_init(pack).clone()?))
        });
        let (coding, body) =
            packed.map_or((None, self.body.clone()), |(coding, packed)| (Some(coding), packed));
        let mut response = Response::new(body.into());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        mark(response.headers_mut(), self.body.len(), coding);
        response
    }
}

/// Compresses what is answered without running a model, where it is: it is small. What is larger than that goes as it is.
pub(super) async fn pack_told(request: Request, next: Next) -> Result<Response, Error> {
    let accepted = Accepted::of(request.headers());
    let (mut parts, body) = next.run(request).await.into_parts();
    let body = body::to_bytes(body, usize::MAX).await;
    let body = body.map_err(|error| Error::BadRequest(error.to_string()))?;
    let length = body.len();
    let packed = (length <= SMALL).then(|| accepted.pack(&body.clone().into(), || true)).flatten();
    let (coding, body) = packed.map_or((None, body), |(coding, packed)| (Some(coding), packed.into()));
    if length <= SMALL {
        mark(&mut parts.headers, length, coding);
    }
    Ok(Response::from_parts(parts, body.into()))
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
