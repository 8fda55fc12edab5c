//! `POST /predict/{model}`: a picture, JSON, raw bytes, or a form of these; the answer as a person would want it.

mod form;
mod results;

use super::{
    AppState,
    ask::{Answer, Asked, Call, ask},
    error::Error,
};
use crate::{recipe, serving::Model};
use axum::extract::{Path, Query, State, rejection::PathRejection};
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Uri, header};
use predictd_protocol::{
    excerpt::excerpt,
    inference::{
        multipart::{self, Boundary},
        predict,
        tensor::{self, Tensor},
        v2::Input,
    },
};
use serde::Deserialize;
use std::time::Duration;

/// What a request may ask for.
#[derive(Default, Deserialize)]
struct Params {
    version: Option<String>,
    top_k: Option<String>,
    timeout: Option<String>,
}

pub(super) async fn predict(
    State(app): AppState,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    body: Bytes,
) -> Result<Answer, Error> {
    let Path(name) = name?;
    let Query(params) =
        Query::<Params>::try_from_uri(&uri).map_err(|error| Error::BadRequest(error.to_string()))?;
    let model = app.models.find(&name, params.version.as_deref())?;
    let top_k = params.top_k.as_deref().map(top_k).transpose()?;
    let asked = params.timeout.as_deref().map(timeout).transpose()?;
    let deadline = asked.map_or(model.deadline, |asked| asked.min(model.deadline));
    let call = Call::of(&headers, &extensions, deadline)?;
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let content_type = String::from_utf8_lossy(content_type);
    let bad_request = |error: multipart::Error| Error::BadRequest(error.to_string());
    if let Some(boundary) = Boundary::of(&content_type).map_err(bad_request)? {
        let bounds = form::Bounds { workers: app.pool.workers(), pixels: app.pixels() };
        return form::predict(&model, call, body, boundary, bounds, top_k).await;
    }
    let mut kind = Kind::of(&content_type)?;
    if call.is_read_here(body.len()) {
        kind = kind.or_sniffed(&model, &body)?;
    }
    let effort = kind.effort(&model, &body);
    let pixels = app.pixels();
    let read = move |model: &Model, body: &Bytes| {
        rows(
            model,
            match kind.or_sniffed(model, body)? {
                Kind::Image => from_image(model, body, pixels)?,
                Kind::Raw => from_raw(model, body)?,
                Kind::Json | Kind::Unsaid => from_json(model, body)?,
            },
        )
    };
    let print = move |model: &Model, rows: &Option<usize>, outputs: &[Tensor]| {
        let mut body = results::begin(model);
        results::print(&mut body, model, *rows, outputs, top_k)?;
        Ok(results::end(body))
    };
    ask(&model, call, body, effort, read, print).await
}

/// Tensors for the model, and how many rows they seem to be.
fn rows(model: &Model, inputs: Vec<Input>) -> Result<Asked<Option<usize>>, Error> {
    let inputs = model.arrange(inputs)?;
    let rows = inputs.first().and_then(|input| input.shape().first().copied());
    Ok(Asked { inputs, timeout: None, wanted: rows })
}

fn top_k(text: &str) -> Result<usize, Error> {
    let top_k = text.parse().ok().filter(|top_k| *top_k > 0);
    top_k.ok_or_else(|| {
        Error::BadRequest(format!("top_k must be a whole number from 1, got '{}'", excerpt(text)))
    })
}

fn timeout(text: &str) -> Result<Duration, Error> {
    let duration = text.parse::<crate::config::units::Duration>();
    duration.map(|duration| duration.0).map_err(|error| Error::BadRequest(format!("timeout: {error}")))
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Image,
    Json,
    /// The elements of the only input, little-endian.
    Raw,
    /// To be seen by looking.
    Unsaid,
}

impl Kind {
    fn of(content_type: &str) -> Result<Self, Error> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*media_type {
            // What curl says of --data-binary if it is not told better.
            "" | "application/x-www-form-urlencoded" => Ok(Self::Unsaid),
            "application/json" => Ok(Self::Json),
            "application/octet-stream" => Ok(Self::Raw),
            image if image.starts_with("image/") => Ok(Self::Image),
            other => Err(Error::MediaType(format!(
                "content type '{}' is not taken here; send an image, application/json, application/octet-stream, \
                 or a form (multipart/form-data)",
                excerpt(other)
            ))),
        }
    }

    /// How many bytes are gone through to make tensors of such a body.
    fn effort(self, model: &Model, body: &[u8]) -> usize {
        match self {
            // A small picture may be a large one, packed well.
            Self::Image => usize::MAX,
            // Numbers that are bytes are only looked at.
            Self::Raw if !model.goes_through_bytes() => 0,
            Self::Raw | Self::Json | Self::Unsaid => body.len(),
        }
    }

    /// Looks at the body where nothing was said of it.
    fn or_sniffed(self, model: &Model, body: &[u8]) -> Result<Self, Error> {
        if self != Self::Unsaid {
            return Ok(self);
        }
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        let is_raw = raw_shape(model, body.len()).is_some();
        if recipe::sniff(body).is_some() {
            Ok(Self::Image)
        // What can be nothing else was meant to be JSON: reading it as such says what is wrong.
        } else if matches!(first, Some(b'{' | b'[')) && (!is_raw || predict::is_json(body)) {
            Ok(Self::Json)
        } else if is_raw {
            Ok(Self::Raw)
        } else {
            Err(Error::MediaType(format!(
                "the body is neither an image, nor JSON, nor rows of model '{}'; say what it is by Content-Type",
                model.name
            )))
        }
    }
}

fn from_image(model: &Model, body: &[u8], pixels: u64) -> Result<Vec<Input>, Error> {
    let Some(recipe) = &model.image else {
        return Err(Error::MediaType(format!(
            "model '{}' takes no images: its model.toml has no [input] kind = \"image\"",
            model.name
        )));
    };
    let tensor = recipe.prepare(body, pixels).map_err(|error| Error::Image(model.name.clone(), error))?;
    Ok(vec![Input { name: recipe.tensor().to_owned(), tensor }])
}

fn from_json(model: &Model, body: &[u8]) -> Result<Vec<Input>, Error> {
    predict::parse(body, &model.engine.signature().inputs).map_err(|error| match error {
        predict::Error::Unknown(name) => model.unknown_input(&name).into(),
        error => Error::bad_request(model, error),
    })
}

fn from_raw(model: &Model, body: &Bytes) -> Result<Vec<Input>, Error> {
    let specs = &model.engine.signature().inputs;
    let [spec] = &specs[..] else {
        let (name, count) = (&model.name, specs.len());
        return Err(Error::BadRequest(format!("model '{name}' has {count} inputs, raw bytes are for one")));
    };
    let shape = raw_shape(model, body.len()).ok_or_else(|| {
        let (got, input, datatype, dims) = (body.len(), &spec.name, spec.datatype, spec.dims());
        let what =
            format_args!("{got} bytes are no whole number of rows of input '{input}' ({datatype} {dims})");
        Error::bad_request(model, what)
    })?;
    let tensor = Tensor::from_bytes(spec.datatype, shape, body.clone())
        .map_err(|error| Error::bad_request(model, format_args!("input '{}': {error}", spec.name)))?;
    Ok(vec![Input { name: spec.name.clone(), tensor }])
}

/// The shape that so many bytes are of, if they are whole rows of a model with one input whose rows are of one size.
fn raw_shape(model: &Model, bytes: usize) -> Option<Vec<usize>> {
    let [spec] = &model.engine.signature().inputs[..] else { return None };
    let size = spec.datatype.size()?;
    let first_is_free = spec.shape.first() == Some(&None);
    let fixed: Vec<usize> =
        spec.shape.iter().skip(usize::from(first_is_free)).copied().collect::<Option<_>>()?;
    let row = tensor::elements(&fixed)?.checked_mul(size).filter(|row| *row > 0)?;
    let rows = Some(bytes / row).filter(|rows| *rows > 0 && bytes.is_multiple_of(row))?;
    match first_is_free {
        true => Some([&[rows], &fixed[..]].concat()),
        false => (rows == 1).then_some(fixed),
    }
}
