//! A `model.toml` to start from: what can be guessed from the names and shapes of a model's tensors, with what cannot as
//! comments.

use crate::{
    config::model::{Defaults, Model as Settings},
    model::engine::Signature,
    recipe::{LoadError, classification, image},
};
use predictd_protocol::inference::{spec::TensorSpec, tensor::Datatype};
use std::fmt::Write;

/// The text of it. `alone` says why requests cannot share runs, if so.
#[must_use]
pub fn starter(signature: &Signature, alone: Option<&str>) -> String {
    let mut text = String::from("# Every key may be left out; these are the defaults, and guesses.\n");
    text.push_str("deadline = \"30s\"\n\n");
    match alone {
        None => text.push_str("[batch]\nmax_rows = 8        # rows of several requests in one run\nqueue = 256         # rows that may wait\n"),
        Some(reason) => {
            let _ = write!(text, "[batch]\nqueue = 256         # rows that may wait\n# Requests are run one by one: {reason}.\n");
        }
    }
    let input = image(&signature.inputs);
    text.extend(input.as_deref());
    text.extend(classification(&signature.outputs, input.is_some()));
    text
}

/// The recipe of a model that seems to take pictures.
fn image(inputs: &[TensorSpec]) -> Option<String> {
    let (sizes, recipe) = match recipe(inputs, "") {
        Ok(recipe) => ("", recipe),
        Err(LoadError::SizeMissing { .. }) => {
            let size = "size = [224, 224]   # height, width: a guess, since the model takes any\n";
            (size, recipe(inputs, size).ok()?)
        }
        Err(_) => return None,
    };
    let mut text = format!(
        "\n# POST /predict takes pictures, as the tensor '{}'.\n[input]\nkind = \"image\"\n{sizes}",
        recipe.tensor()
    );
    text.push_str("fit = \"crop\"        # or \"pad\", \"stretch\"\n");
    let spec = inputs.iter().find(|spec| spec.name == recipe.tensor())?;
    if spec.datatype != Datatype::Uint8 {
        text.push_str("# value = (pixel * scale - mean) / std, with scale = 1/255: as the model was trained. Often one of\n");
        if recipe.shape().contains(&3) {
            text.push_str("# mean = [0.485, 0.456, 0.406]\n# std = [0.229, 0.224, 0.225]\n# or\n");
        }
        text.push_str("# mean = 0.5\n# std = 0.5\n");
    }
    Some(text)
}

fn recipe(inputs: &[TensorSpec], more: &str) -> Result<image::Recipe, LoadError> {
    let text = format!("[input]\nkind = \"image\"\n{more}");
    let settings = Settings::parse(&text, "model.toml", &Defaults::default()).expect("it is right");
    image::Recipe::new(&settings.input.expect("it is there"), inputs)
}

/// The recipe of a model that seems to give a score for each class.
fn classification(outputs: &[TensorSpec], from_picture: bool) -> Option<String> {
    /// Words in the names of scores.
    const SCORES: &[&str] = &["prob", "logit", "softmax", "class", "score", "label", "pred"];
    let text = "[output]\nkind = \"classification\"\n";
    let settings = Settings::parse(text, "model.toml", &Defaults::default()).expect("it is right");
    classification::Recipe::new(&settings.output.expect("it is there"), outputs, None).ok()?;
    let spec = outputs.iter().find(|spec| spec.datatype.is_float())?;
    let classes = match spec.shape[..] {
        [None | Some(1), classes] | [classes] => classes.filter(|classes| *classes > 1)?,
        _ => return None,
    };
    let name = spec.name.to_ascii_lowercase();
    let sure = from_picture || SCORES.iter().any(|word| name.contains(word));
    let about = format!(
        "one of {classes} classes by the tensor '{}'; labels.txt beside this file names them, a line each",
        spec.name
    );
    Some(if sure {
        format!("\n# The answer is {about}.\n{text}top_k = 5\n")
    } else {
        format!("\n# If the answer is {about}:\n# [output]\n# kind = \"classification\"\n# top_k = 5\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
        let shape = shape.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        TensorSpec { name: name.into(), datatype, shape, any_rank: false }
    }

    /// What is in the text and what is not; and that it is a model.toml.
    fn check(input: TensorSpec, output: TensorSpec, has: &[&str], has_not: &[&str]) {
        let signature = Signature { inputs: vec![input], outputs: vec![output], row_names: Vec::new() };
        for alone in [None, Some("it cannot")] {
            let text = starter(&signature, alone);
            let settings = Settings::parse(&text, "model.toml", &Defaults::default()).unwrap();
            let fits =
                settings.input.is_none_or(|input| image::Recipe::new(&input, &signature.inputs).is_ok());
            assert!(fits, "{text}");
            for part in has {
                assert!(text.contains(part), "{part} is not in\n{text}");
            }
            for part in has_not {
                assert!(!text.contains(part), "{part} is in\n{text}");
            }
        }
    }

    #[test]
    fn pictures_and_classes_are_guessed_from_shapes_and_names() {
        use Datatype::{Fp32, Uint8};
        let scores = || spec("logits", Fp32, &[-1, 10]);
        check(
            spec("image", Fp32, &[-1, 3, 224, 224]),
            spec("y", Fp32, &[-1, 1000]),
            &["\n[input]\nkind = \"image\"\nfit", "# mean = [0.485", "\n[output]\n", "one of 1000 classes"],
            &["size ="],
        );
        check(spec("image", Fp32, &[-1, 28, 28, 1]), scores(), &["\n[input]\n", "# mean = 0.5"], &["0.485"]);
        check(spec("image", Uint8, &[-1, 224, 224, 3]), scores(), &["\n[input]\n"], &["mean"]);
        check(spec("image", Fp32, &[1, 3, -1, -1]), scores(), &["\nsize = [224, 224]"], &[]);
        check(spec("x", Fp32, &[-1, 4]), scores(), &["\n[output]\n"], &["[input]"]);
        check(spec("x", Fp32, &[-1, 4]), spec("y", Fp32, &[-1, 4]), &["# [output]"], &["\n[output]\n"]);
        check(spec("x", Fp32, &[-1, 4]), spec("y", Fp32, &[-1, 1]), &["deadline"], &["output"]);
        check(spec("x", Fp32, &[3, 2]), spec("score", Fp32, &[3, 2]), &["deadline"], &["output"]);
        check(spec("x", Fp32, &[-1, 4]), spec("mask", Fp32, &[-1, 1, 64, 64]), &["deadline"], &["output"]);
    }
}
