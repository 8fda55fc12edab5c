//! What a model says of a tensor that it takes or gives, before there is one.

use super::tensor::Datatype;
use std::fmt;

/// A tensor's metadata: name, datatype, and the dimensions as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the model.
    pub name: String,
    /// What its elements are.
    pub datatype: Datatype,
    /// Its dimensions; `None` may be of any size.
    pub shape: Vec<Option<usize>>,
    /// Of an input, whether there may be any number of them; `shape` is then one of any size, for want of a word.
    pub any_rank: bool,
}

impl TensorSpec {
    /// Whether a tensor of `shape` may be this.
    #[must_use]
    pub fn fits(&self, shape: &[usize]) -> bool {
        self.any_rank
            || self.shape.len() == shape.len()
                && self.shape.iter().zip(shape).all(|(want, got)| want.is_none_or(|want| want == *got))
    }

    /// Whether it has a first dimension, which may be of any size.
    #[must_use]
    pub fn has_free_rows(&self) -> bool {
        !self.any_rank && self.shape.first() == Some(&None)
    }

    /// The dimensions as the protocol writes them.
    #[must_use]
    pub fn dims(&self) -> Dims {
        Dims(self.shape.clone())
    }
}

/// Prints dimensions as the protocol writes them, `[-1, 28, 28]`: -1 may be of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dims(Vec<Option<usize>>);

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<_> = self.0.iter().map(|dim| dim.map_or("-1".into(), |dim| dim.to_string())).collect();
        write!(f, "[{}]", dims.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_fits_where_every_fixed_dimension_is_met() {
        let shape = vec![None, Some(4)];
        let mut spec = TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape, any_rank: false };
        assert_eq!(spec.dims().to_string(), "[-1, 4]");
        assert!(spec.has_free_rows());
        for (shape, fits) in
            [(&[7, 4][..], true), (&[0, 4], true), (&[7, 5], false), (&[4], false), (&[], false)]
        {
            assert_eq!(spec.fits(shape), fits, "{shape:?}");
        }
        spec.any_rank = true;
        assert!(spec.fits(&[]) && spec.fits(&[7, 5, 0]) && !spec.has_free_rows());
    }
}
