//! The Open Inference Protocol's calls for one model.

use super::{
    AppState,
    ask::{Answer, Asked, Call, HEADER_LENGTH, ask},
    error::Error,
    model_config,
};
use crate::{pool::Rejected, recipe::ranking, serving::Model};
use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue};
use predictd_protocol::{
    excerpt::excerpt,
    inference::{
        spec::TensorSpec,
        tensor::Tensor,
        v2::{self, InferRequest, InferResponse, Output},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{borrow::Cow, iter};

/// What the path names.
#[derive(Deserialize)]
pub(super) struct Target {
    pub model: String,
    pub version: Option<String>,
}

/// It, or why it cannot be read.
pub(super) type InPath = Result<Path<Target>, PathRejection>;

/// `GET /v2/models/{model}[/versions/{version}]`
pub(super) async fn metadata(State(app): AppState, target: InPath) -> Result<Response, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    let versions: Vec<String> =
        app.models.versions(&target.model)?.iter().map(|model| model.version.to_string()).collect();
    let signature = model.engine.signature();
    let body = json!({
        "name": model.name.as_str(),
        "versions": versions,
        "platform": model_config::engine(&model).0,
        "inputs": signature.inputs.iter().map(spec).collect::<Vec<_>>(),
        "outputs": signature.outputs.iter().map(spec).collect::<Vec<_>>(),
    });
    Ok(axum::Json(body).into_response())
}

fn spec(spec: &TensorSpec) -> Value {
    let shape = model_config::dims(spec, false);
    json!({ "name": spec.name, "datatype": spec.datatype.name(), "shape": shape })
}

/// `GET /v2/models/{model}[/versions/{version}]/ready`
pub(super) async fn ready(State(app): AppState, target: InPath) -> Result<Response, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    if let Some(closed) = model.lane.closed() {
        return Err(Error::Busy(model.name.clone(), Rejected::Closed(closed.reason)));
    }
    Ok(axum::Json(json!({ "name": model.name.as_str(), "ready": true })).into_response())
}

/// `POST /v2/models/{model}[/versions/{version}]/infer`
pub(super) async fn infer(
    State(app): AppState,
    target: InPath,
    headers: HeaderMap,
    extensions: Extensions,
    body: Bytes,
) -> Result<Answer, Error> {
    let Path(target) = target?;
    let model = app.models.find(&target.model, target.version.as_deref())?;
    let header_length = headers.get(&HEADER_LENGTH).map(length).transpose()?;
    // Numbers that are bytes are only looked at.
    let effort = header_length.filter(|_| !model.goes_through_bytes()).unwrap_or(body.len());
    let read = move |model: &Model, body: &Bytes| {
        let mut request = v2::parse(body, header_length, &model.engine.signature().inputs)
            .map_err(|error| Error::bad_request(model, error))?;
        let (inputs, timeout) = (std::mem::take(&mut request.inputs), request.timeout);
        let wanted = Wanted::of(request, model)?;
        Ok(Asked { inputs: model.arrange(inputs)?, timeout, wanted })
    };
    let call = Call::of(&headers, &extensions, model.deadline)?;
    ask(&model, call, body, effort, read, |model, wanted, outputs| wanted.print(model, outputs)).await
}

fn length(value: &HeaderValue) -> Result<usize, Error> {
    let text = String::from_utf8_lossy(value.as_bytes());
    let bad =
        || Error::BadRequest(format!("{HEADER_LENGTH} must be a number of bytes, got '{}'", excerpt(&text)));
    // Digits alone: Rust would take a plus too.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(bad)
}

/// What a request says of its answer.
struct Wanted {
    /// But for its inputs, which the model has.
    request: InferRequest,
    outputs: Vec<WantedOutput>,
}

struct WantedOutput {
    /// Its place in the signature.
    at: usize,
    /// How many of its best classes, instead of the tensor.
    classes: Option<usize>,
}

impl Wanted {
    fn of(request: InferRequest, model: &Model) -> Result<Self, Error> {
        let names: Vec<String> = request.outputs.iter().map(|output| output.name.clone()).collect();
        let classes = request.outputs.iter().map(|output| output.classification);
        let wanted = model.select(&names)?.into_iter().zip(classes.chain(iter::repeat(None)));
        let outputs: Vec<_> = wanted.map(|(at, classes)| WantedOutput { at, classes }).collect();
        let specs = &model.engine.signature().outputs;
        let mut ranked =
            outputs.iter().filter(|output| output.classes.is_some()).map(|output| &specs[output.at]);
        match ranked.find(|spec| !ranking::has_order(spec.datatype)) {
            None => Ok(Self { request, outputs }),
            Some(TensorSpec { name, datatype, .. }) => Err(Error::bad_request(
                model,
                format_args!("output '{name}' is {datatype}, and classification ranks numbers"),
            )),
        }
    }

    fn print(&self, model: &Model, tensors: &[Tensor]) -> Result<Answer, Error> {
        let tensor = |output: &WantedOutput| match output.classes {
            None => Ok(Cow::Borrowed(&tensors[output.at])),
            Some(classes) => best(model, output.at, &tensors[output.at], classes).map(Cow::Owned),
        };
        let tensors = self.outputs.iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
        let specs = &model.engine.signature().outputs;
        let outputs = self.outputs.iter().zip(&tensors).map(|(wanted, tensor)| {
            let name = &*specs[wanted.at].name;
            Output { name, tensor, binary: self.request.is_binary(name) }
        });
        let printed = v2::print(&InferResponse {
            model_name: model.name.as_str(),
            model_version: &model.version.to_string(),
            id: self.request.id.as_deref(),
            outputs: outputs.collect(),
        })
        .map_err(|error| Error::bad_request(model, error))?;
        let header_length = printed.header_length();
        Ok(Answer::binary(printed.into_pieces(), header_length))
    }
}

/// An output's best classes, with their names if the model's recipe knows them.
fn best(model: &Model, at: usize, tensor: &Tensor, count: usize) -> Result<Tensor, Error> {
    let name = &model.engine.signature().outputs[at].name;
    let recipe = model.classes.as_ref().filter(|recipe| recipe.tensor() == name);
    let label = |index| recipe.and_then(|recipe| recipe.label(index));
    ranking::rank(tensor, model.has_rows(), count, label).ok_or_else(|| {
        let what = format!("output '{name}' is {}, and not what it is declared to be", tensor.datatype());
        Error::Model(model.name.clone(), what)
    })
}
