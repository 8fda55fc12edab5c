//! The memory that ONNX Runtime keeps between runs: by itself for ever as much as the largest of them needed.

use super::engine::Signature;
use predictd_protocol::inference::tensor::Tensor;

/// Which runs give back what they needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shrinks {
    /// There is no arena, or every run is as large as every other.
    Never,
    /// Those of more rows.
    Over(usize),
    /// Sizes other than the rows' vary, so that any run may be the largest.
    Always,
}

impl Shrinks {
    /// For a model whose runs usually have `usual_rows` at most.
    pub(super) fn of(signature: &Signature, memory_arena: bool, usual_rows: usize) -> Self {
        let specs = || signature.inputs.iter().chain(&signature.outputs);
        if !memory_arena || specs().all(|spec| spec.shape.iter().all(Option::is_some)) {
            Self::Never
        } else if signature.has_free_rows() && specs().all(|spec| spec.shape[1..].iter().all(Option::is_some))
        {
            Self::Over(usual_rows)
        } else {
            Self::Always
        }
    }

    /// Whether the run of `inputs` is one of them.
    pub(super) fn after(self, inputs: &[Tensor]) -> bool {
        match self {
            Self::Never => false,
            Self::Over(rows) => {
                inputs.iter().any(|input| input.shape().first().is_some_and(|first| *first > rows))
            }
            Self::Always => true,
        }
    }
}
