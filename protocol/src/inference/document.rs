//! What a model gives that is no tensor: ONNX's maps, and the items of its sequences. The protocols have no word for them;
//! they are told as JSON documents, which are elements of a `BYTES` tensor.

use super::tensor::{Data, Datatype, Tensor};

/// An element that is a JSON document once it is printed.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// Nested lists, or a bare element.
    Tensor(Tensor),
    /// An object.
    Map(Map),
}

/// Values by key, in the model's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    keys: Tensor,
    values: Tensor,
}

/// Why keys and values are no map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Keys that are no names of JSON members.
    #[error("a map's keys must be INT64, or BYTES that are UTF-8")]
    Keys,
    /// Each key has one value.
    #[error("a map has keys of shape {0:?} and values of shape {1:?}")]
    Shapes(Vec<usize>, Vec<usize>),
}

impl Map {
    /// A map of one-dimensional tensors, equally long.
    ///
    /// # Errors
    /// Where they are not, or the keys can be no names.
    pub fn new(keys: Tensor, values: Tensor) -> Result<Self, Error> {
        if keys.shape().len() != 1 || keys.shape() != values.shape() {
            return Err(Error::Shapes(keys.shape().to_vec(), values.shape().to_vec()));
        }
        let are_names = match keys.data() {
            Data::Numbers(_) => keys.datatype() == Datatype::Int64,
            Data::Strings(keys) => keys.iter().all(|key| std::str::from_utf8(key).is_ok()),
            Data::Documents(_) => false,
        };
        if are_names { Ok(Self { keys, values }) } else { Err(Error::Keys) }
    }

    /// Their names: `INT64`, or `BYTES` that are UTF-8.
    #[must_use]
    pub fn keys(&self) -> &Tensor {
        &self.keys
    }

    /// As many values.
    #[must_use]
    pub fn values(&self) -> &Tensor {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_names_and_each_has_a_value() {
        let values = |count: usize| Tensor::from_numbers(vec![count], vec![0.5f32; count]).unwrap();
        let texts = |texts: &[&'static [u8]]| {
            Tensor::from_strings(vec![texts.len()], texts.iter().collect()).unwrap()
        };
        let numbers = Tensor::from_numbers(vec![2], vec![-1i64, 7]).unwrap();
        assert!(Map::new(numbers.clone(), values(2)).is_ok());
        assert!(Map::new(texts(&[b"a", b""]), values(2)).is_ok());
        assert!(Map::new(texts(&[]), values(0)).is_ok());
        assert_eq!(Map::new(texts(&[b"\xff"]), values(1)), Err(Error::Keys));
        assert_eq!(Map::new(values(1), values(1)), Err(Error::Keys));
        assert_eq!(Map::new(numbers.clone(), values(3)), Err(Error::Shapes(vec![2], vec![3])));
        let square = Tensor::from_numbers(vec![1, 1], vec![1i64]).unwrap();
        assert!(Map::new(square.clone(), square).is_err());
    }
}
