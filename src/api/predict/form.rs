//! Several pictures or rows in one request, as browsers and `curl -F` send them.
//!
//! Each file is a request of its own to the pool, which prepares them on all workers, makes batches of them where the model
//! can be batched, and takes no more at once than may wait. Whoever finishes the last one puts the answers together.

use super::super::{
    ask::{self, Answer, Call, Exchange, with_body},
    error::Error,
};
use super::{Kind, from_image, from_raw, raw_shape, results, rows};
use crate::{
    recipe,
    serving::{Model, Served},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use predictd_protocol::{
    excerpt::excerpt,
    inference::{
        multipart::{self, Boundary, Part},
        tensor::Tensor,
        v2::Input,
    },
};
use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// So many parts may a form have.
const MAX_PARTS: usize = 1024;

/// What is said in the query, and not by a field of the form.
const PARAMETERS: [&str; 3] = ["version", "top_k", "timeout"];

/// What the server has for a form.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub workers: usize,
    /// Of a picture.
    pub pixels: u64,
}

pub(super) async fn predict(
    model: &Served,
    call: Call,
    body: Bytes,
    boundary: Boundary,
    bounds: Bounds,
    top_k: Option<usize>,
) -> Result<Answer, Error> {
    let deadline = call.deadline();
    answer(model, call, body, boundary, bounds, top_k).await.map_err(|error| match error {
        // What was left for a part of the work means nothing to who has asked for the whole.
        Error::Deadline { model, .. } => Error::Deadline { model, deadline },
        error => error,
    })
}

async fn answer(
    model: &Served,
    mut call: Call,
    body: Bytes,
    boundary: Boundary,
    bounds: Bounds,
    top_k: Option<usize>,
) -> Result<Answer, Error> {
    let begun = Instant::now();
    let (files, taking_apart) =
        with_body(model, &mut call, body, move |body| files(&body, &boundary)).await?;
    let gathered = Arc::new(Gathered::new(files.len()));
    // Many small files are as much to go through as a large one.
    let effort = files.iter().map(|file| file.kind.effort(model, &file.body)).fold(0, usize::saturating_add);
    let begin = |at: usize, file: &File| {
        let (kind, place) = (file.kind, file.place.clone());
        let (accepted, gathered) = (call.accepted(), Arc::clone(&gathered));
        let read = move |model: &Model, body: &Bytes| rows(model, read(kind, model, body, bounds.pixels)?);
        let print = move |model: &Model, exchange: &Exchange<Option<usize>>, outputs: Vec<Tensor>| {
            let mut results = Vec::new();
            results::print(&mut results, model, *exchange.wanted(), &outputs, top_k)?;
            drop(outputs);
            let Some(all) = gathered.put(at, results) else { return Ok(None) };
            let mut body = results::begin(model);
            body.extend_from_slice(&all.join(&b','));
            Ok(Some(results::end(body).packed(accepted, || exchange.goes_on())))
        };
        let call = call.after(begun.elapsed());
        match ask::begin(model, call, file.body.clone(), effort, read, print) {
            Ok(done) => Ok(async move { done.await.map_err(|error| place.error(error)) }),
            Err(error) => Err(place.error(error)),
        }
    };
    // What all workers can be at: more would only wait, in front of what others ask. And half of what may wait, so that there
    // is room for them.
    let most = (bounds.workers * model.batching.max_rows).min(model.batching.queue / 2).max(1);
    let mut under_way = FuturesUnordered::new();
    for (at, file) in files.iter().enumerate() {
        if under_way.len() >= most {
            under_way.next().await.transpose()?;
        }
        under_way.push(begin(at, file)?);
    }
    let mut answer = Answer::default();
    while let Some(done) = under_way.next().await {
        if let (Some(whole), mut work) = done? {
            work.queue_wait += taking_apart.queue_wait;
            work.prepare += taking_apart.prepare;
            answer = whole.after(work);
        }
    }
    Ok(answer)
}

/// A file of a form.
struct File {
    place: Place,
    /// An image, or one row, raw.
    kind: Kind,
    body: Bytes,
}

/// Which part of the form it is.
#[derive(Clone)]
struct Place {
    number: usize,
    name: String,
    filename: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, name, filename } = self;
        write!(f, "part {number} ('{}', \"{}\")", excerpt(name), excerpt(filename))
    }
}

impl Place {
    /// What is wrong with this file, if it is that.
    fn error(&self, error: Error) -> Error {
        match error {
            Error::Busy(..) | Error::Deadline { .. } => error,
            error => Error::Part(self.to_string(), Box::new(error)),
        }
    }
}

/// The files of a form. Its other fields are nobody's, such as a browser's tokens and buttons, but for those that would be
/// missed.
fn files(body: &Bytes, boundary: &Boundary) -> Result<Vec<File>, Error> {
    let parts = multipart::parse(body, boundary, MAX_PARTS).map_err(|error| match error {
        multipart::Error::TooMany(_) => Error::TooLarge(error.to_string()),
        error => Error::BadRequest(error.to_string()),
    })?;
    let mut files = Vec::new();
    for (number, Part { name, filename, content_type, body }) in (1..).zip(parts) {
        let content_type = content_type.as_deref();
        if filename.is_none() && content_type.is_none_or(|content_type| content_type == "text/plain") {
            if PARAMETERS.contains(&&*name) {
                return Err(Error::BadRequest(format!(
                    "the form has a field '{name}': say that in the query, /predict/MODEL?{name}=..."
                )));
            }
            continue;
        }
        // What browsers send where no file was chosen.
        if filename.as_deref() == Some("") && body.is_empty() {
            continue;
        }
        let kind = kind_of(content_type, &body);
        let place = Place { number, name, filename: filename.unwrap_or_default() };
        files.push(File { kind: kind.map_err(|error| place.error(error))?, place, body });
    }
    if files.is_empty() {
        let error =
            "the form has no file: a part is one if it has a filename, as by curl -F 'file=@picture.png'";
        return Err(Error::BadRequest(error.into()));
    }
    Ok(files)
}

/// By content type, or by looking where that says nothing.
fn kind_of(content_type: Option<&str>, body: &[u8]) -> Result<Kind, Error> {
    match content_type {
        Some(image) if image.starts_with("image/") => Ok(Kind::Image),
        None | Some("" | "application/octet-stream") => {
            Ok(if recipe::sniff(body).is_some() { Kind::Image } else { Kind::Raw })
        }
        Some(other) => Err(Error::MediaType(format!(
            "content type '{}' is not taken in a form; a file is an image or one raw row \
             (application/octet-stream)",
            excerpt(other)
        ))),
    }
}

fn read(kind: Kind, model: &Model, body: &Bytes, pixels: u64) -> Result<Vec<Input>, Error> {
    if kind == Kind::Image {
        return from_image(model, body, pixels);
    }
    let rows = match raw_shape(model, body.len()) {
        Some(shape) if model.engine.signature().has_free_rows() => shape[0],
        Some(_) => 1,
        None => 0,
    };
    let (bytes, name) = (body.len(), &model.name);
    match rows {
        1 => from_raw(model, body),
        0 => {
            Err(Error::MediaType(format!("{bytes} bytes are neither an image nor one row of model '{name}'")))
        }
        _ => Err(Error::BadRequest(format!(
            "{bytes} bytes are {rows} rows of model '{name}', and a file is one"
        ))),
    }
}

/// The results of the files, in their order, and how many are missing.
struct Gathered(Mutex<(Vec<Vec<u8>>, usize)>);

impl Gathered {
    fn new(files: usize) -> Self {
        Self(Mutex::new((vec![Vec::new(); files], files)))
    }

    /// Adds those of a file; gives all of them, where it was the last.
    fn put(&self, at: usize, results: Vec<u8>) -> Option<Vec<Vec<u8>>> {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, missing) = &mut *gathered;
        all[at] = results;
        *missing -= 1;
        (*missing == 0).then(|| mem::take(all))
    }
}
