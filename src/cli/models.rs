//! What is said of each model when it is checked: what it takes and gives, whether requests share its runs, or why it fails.

use super::paint::{Ink, Paint};
use crate::serving::Model;
use predictd_protocol::inference::spec::TensorSpec;
use std::{
    io::{self, Write},
    time::Duration,
};

pub(super) fn ready(out: &mut dyn Write, model: &Model, took: Duration, paint: Paint) -> io::Result<()> {
    let took = paint.text(Ink::Aside, format!("loaded in {} ms", took.as_millis()));
    writeln!(out, "{}      {} version {}  {took}", paint.text(Ink::Good, "ok"), model.name, model.version)?;
    let signature = model.engine.signature();
    let picture = model.image.as_ref().map(|recipe| (recipe.tensor(), "from a picture"));
    let classes = model.classes.as_ref().map(|recipe| (recipe.tensor(), "as classes"));
    tensors(out, "in", &signature.inputs, picture)?;
    tensors(out, "out", &signature.outputs, classes)?;
    match &model.alone {
        None => writeln!(out, "        runs   up to {} rows together", model.batching.max_rows),
        Some(reason) => writeln!(out, "        runs   one by one: {reason}"),
    }
}

/// A line each; one may be what a recipe is for.
pub(super) fn tensors(
    out: &mut dyn Write,
    side: &str,
    specs: &[TensorSpec],
    recipe: Option<(&str, &str)>,
) -> io::Result<()> {
    for (at, spec) in specs.iter().enumerate() {
        let side = if at == 0 { side } else { "" };
        let recipe = recipe.filter(|(name, _)| *name == spec.name);
        let recipe = recipe.map_or(String::new(), |(_, what)| format!(", {what}"));
        writeln!(out, "        {side:6} {} {} {}{recipe}", spec.name, spec.datatype, spec.dims())?;
    }
    Ok(())
}

pub(super) fn failed(out: &mut dyn Write, name: &str, reasons: &[String], paint: Paint) -> io::Result<()> {
    writeln!(out, "{}  {name}", paint.text(Ink::Bad, "FAILED"))?;
    reasons.iter().flat_map(|reason| reason.lines()).try_for_each(|line| writeln!(out, "        {line}"))
}
