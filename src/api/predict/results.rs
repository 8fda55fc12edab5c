//! What `/predict` answers: a result for each row, as a person would want it.

use super::super::{ask::Answer, error::Error};
use crate::{recipe::classification, serving::Model};
use predictd_protocol::inference::{nested, tensor::Tensor};

/// The beginning of an answer; results follow.
pub(super) fn begin(model: &Model) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    body.extend_from_slice(b"{\"model\":");
    put(&mut body, model.name.as_str());
    body.extend_from_slice(b",\"version\":");
    put(&mut body, &model.version.to_string());
    body.extend_from_slice(b",\"results\":[");
    body
}

/// The whole of it.
pub(super) fn end(mut body: Vec<u8>) -> Answer {
    body.extend_from_slice(b"]}");
    Answer::json(body)
}

/// Prints one result for each row, or one for all where the model knows no rows.
pub(super) fn print(
    body: &mut Vec<u8>,
    model: &Model,
    rows: Option<usize>,
    outputs: &[Tensor],
    top_k: Option<usize>,
) -> Result<(), Error> {
    let by_row = rows
        .filter(|rows| model.has_rows() && outputs.iter().all(|output| output.shape().first() == Some(rows)));
    let specs = &model.engine.signature().outputs;
    let scores = |recipe: &classification::Recipe| {
        let at = specs.iter().position(|spec| spec.name == recipe.tensor());
        &outputs[at.expect("the recipe was checked against the model")]
    };
    for row in 0..by_row.unwrap_or(1) {
        if row > 0 {
            body.push(b',');
        }
        let part = |output: &Tensor| match by_row {
            Some(_) => output.row(row).expect("the first dimension was checked"),
            None => output.clone(),
        };
        match &model.classes {
            Some(recipe) => {
                let classes = recipe
                    .classes(&part(scores(recipe)), top_k)
                    .map_err(|error| Error::Model(model.name.clone(), error.to_string()))?;
                body.extend_from_slice(b"{\"classes\":");
                put(body, &classes);
            }
            None => {
                body.extend_from_slice(b"{\"outputs\":{");
                for (at, (spec, output)) in specs.iter().zip(outputs).enumerate() {
                    if at > 0 {
                        body.push(b',');
                    }
                    put(body, &spec.name);
                    body.push(b':');
                    nested::write(&part(output), body);
                }
                body.push(b'}');
            }
        }
        body.push(b'}');
    }
    Ok(())
}

fn put<T: serde::Serialize + ?Sized>(body: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(body, value)
        .expect("a Vec takes every byte, and strings and numbers are valid JSON");
}
