//! Models that look as if they could batch, and do or do not.

use super::*;
use crate::model::engine::RunError;

type Behaviour = fn(&[Tensor]) -> Result<Vec<Tensor>, RunError>;

struct Model(Signature, Behaviour);

impl Engine for Model {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(&self, inputs: &[Tensor], _: &Interrupt) -> Result<Vec<Tensor>, RunError> {
        (self.1)(inputs)
    }
}

fn verdict(shape: &[Option<usize>], names: &[&str], run: Behaviour) -> Verdict {
    let spec = |name: &str| TensorSpec {
        name: name.into(),
        datatype: Datatype::Fp32,
        shape: shape.to_vec(),
        any_rank: false,
    };
    let row_names = names.iter().map(|name| (*name).to_owned()).collect();
    let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], row_names };
    rows_are_independent(&Model(signature, run), &Interrupt::default())
}

fn map(inputs: &[Tensor], change: impl Fn(&mut Vec<f32>)) -> Result<Vec<Tensor>, RunError> {
    let mut numbers = inputs[0].to_f32().unwrap();
    change(&mut numbers);
    Ok(vec![Tensor::from_numbers(inputs[0].shape().to_vec(), numbers).unwrap()])
}

#[test]
fn rows_that_keep_to_themselves_may_be_joined() {
    let double: Behaviour = |inputs| map(inputs, |numbers| numbers.iter_mut().for_each(|x| *x *= 2.0));
    assert_eq!(verdict(&[None, Some(4)], &["N"], double), Verdict::Independent);
    assert_eq!(verdict(&[None, None], &["N", "M"], double), Verdict::Independent, "names are only hints");
    // Rounding is no dependence.
    let noisy: Behaviour = |inputs| {
        let off = 1e-4 * inputs[0].shape()[0] as f32;
        map(inputs, |numbers| numbers.iter_mut().for_each(|x| *x += off))
    };
    assert_eq!(verdict(&[None, Some(4)], &[], noisy), Verdict::Independent);
}

#[test]
fn a_first_dimension_that_is_time_is_no_batch() {
    let cumulative: Behaviour = |inputs| {
        map(inputs, |numbers| {
            for at in 1..numbers.len() {
                numbers[at] += numbers[at - 1];
            }
        })
    };
    let verdict = verdict(&[None, Some(4)], &["time"], cumulative);
    assert_eq!(
        verdict.reason_against().unwrap(),
        "a row of its output 'y' depends on the other rows, or on chance"
    );
}

#[test]
fn an_output_of_other_rows_is_no_batch() {
    let first: Behaviour = |inputs| {
        Ok(vec![Tensor::from_numbers(vec![1, 4], inputs[0].to_f32().unwrap()[..4].to_vec()).unwrap()])
    };
    let reason = verdict(&[None, Some(4)], &[], first).reason_against().unwrap();
    assert_eq!(reason, "its output 'y' does not have a row for each row of the inputs");
}

#[test]
fn where_the_trial_fails_the_names_decide() {
    let fails: Behaviour = |_| Err(RunError::Failed("not with this".into()));
    assert_eq!(verdict(&[None, None], &["N"], fails).reason_against(), None);
    let reason = verdict(&[None, None], &["M", "N"], fails).reason_against().unwrap();
    assert_eq!(reason, "its first dimensions have different names: M, N");
}
