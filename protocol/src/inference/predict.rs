//! The JSON of `POST /predict/{model}`: nested lists by name, or one bare list.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{collections::HashSet, fmt};

/// What a body holds; each part is to be read by [`nested::read`](super::nested::read) once its datatype is known.
#[derive(Debug)]
pub enum Body<'a> {
    /// `{"inputs": {"name": [...]}}`
    Named(Vec<(String, &'a RawValue)>),
    /// `[...]`, for a model with one input.
    Bare(&'a RawValue),
}

/// Takes a body apart.
///
/// # Errors
/// Where it is not the JSON that is expected, or names an input twice.
pub fn parse(body: &[u8]) -> Result<Body<'_>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        inputs: Members<'a>,
    }
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        serde_json::from_slice(body).map(|Named { inputs }| Body::Named(inputs.0))
    } else {
        serde_json::from_slice(body).map(Body::Bare)
    }
}

/// An object's members in their order, none twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of lists by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(String, &RawValue)> = Vec::new();
                let mut names = HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("input '{name}' is given twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_by_name_or_bare() {
        let Body::Named(members) = parse(br#" {"inputs": {"b": [1], "a": [[2]]}, "x": 1}"#).unwrap() else {
            panic!()
        };
        let members: Vec<_> = members.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
        assert_eq!(members, [("b", "[1]"), ("a", "[[2]]")]);
        let Body::Bare(value) = parse(b" [[1, 2]] ").unwrap() else { panic!() };
        assert_eq!(value.get(), "[[1, 2]]");
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (body, says) in [
            ("", "EOF"),
            ("{}", "missing field `inputs`"),
            (r#"{"inputs": [1]}"#, "an object of lists by name"),
            (r#"{"inputs": {"a": [1], "a": [2]}}"#, "input 'a' is given twice"),
            ("[1", "EOF"),
            ("[1] x", "trailing characters"),
            ("\u{feff}[1]", "expected value"),
        ] {
            let error = parse(body.as_bytes()).expect_err(body).to_string();
            assert!(error.contains(says), "{body}: {error}");
        }
        assert!(parse(b"[\"\xff\"]").is_err());
    }
}
