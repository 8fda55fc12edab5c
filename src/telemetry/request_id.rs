//! What a request is called in every log line and in its answer.

use http::HeaderValue;
use std::fmt;

/// 1 to 128 characters of `[A-Za-z0-9._:-]`; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id that a caller gave, if it may be one.
    #[must_use]
    pub fn of(given: &HeaderValue) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
        let valid = (1..=128).contains(&given.len()) && given.as_bytes().iter().all(plain);
        valid.then(|| Self(given.clone()))
    }

    /// 128 random bits.
    #[must_use]
    pub fn random() -> Self {
        let bits: u128 = fastrand::u128(..);
        Self(HeaderValue::from_str(&format!("{bits:032x}")).expect("hex digits are a header value"))
    }

    /// As it is sent.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("checked, or made of digits")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
