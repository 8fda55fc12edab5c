//! What a request is called in every log line and in its answer, and what it asks for.

use http::{HeaderValue, Method, Uri, uri::PathAndQuery};
use predictd_protocol::excerpt::Excerpt;
use std::fmt;

/// 1 to 128 characters of `[A-Za-z0-9._:-]`; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    id: HeaderValue,
    /// Of what has come by a wire.
    line: Option<(Method, PathAndQuery)>,
}

impl RequestId {
    /// The id that a caller gave, if it may be one.
    #[must_use]
    pub fn of(given: &HeaderValue) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
        let valid = (1..=128).contains(&given.len()) && given.as_bytes().iter().all(plain);
        valid.then(|| Self { id: given.clone(), line: None })
    }

    /// 128 random bits.
    #[must_use]
    pub fn random() -> Self {
        let bits: u128 = fastrand::u128(..);
        let id = HeaderValue::from_str(&format!("{bits:032x}")).expect("hex digits are a header value");
        Self { id, line: None }
    }

    /// That of a request which asks for this.
    #[must_use]
    pub fn asking(self, method: &Method, uri: &Uri) -> Self {
        let target = uri.path_and_query().cloned();
        Self { line: target.map(|target| (method.clone(), target)), ..self }
    }

    /// The method and the target of its request, where there is one; a target may be as long as a head, and is shown in part.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let (method, target) = self.line.as_ref()?;
        Some(format!("{} {}", Excerpt::of(method.as_str(), 100), Excerpt::of(target.as_str(), 1000)))
    }

    /// As it is sent.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.id
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.id.to_str().expect("checked, or made of digits")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
