//! What the peer did wrong, by part, and the status it is told.

use http::StatusCode;

/// A head that cannot become a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A variable's length runs past the end of the block.
    #[error("a variable runs past the end of its block")]
    Truncated,
    /// A variable without a name (uWSGI refuses it too).
    #[error("a variable has an empty name")]
    EmptyName,
    /// More variables than [`Limits::vars`](super::Limits::vars).
    #[error("more than {0} variables")]
    TooManyVars(usize),
    /// A head over [`Limits::head`](super::Limits::head).
    #[error("the head of {0} bytes is over the limit of {1}")]
    HeadTooLarge(usize, usize),
    /// A body over [`Limits::body`](super::Limits::body).
    #[error("the body of {0} bytes is over the limit of {1}")]
    BodyTooLarge(u64, u64),
    /// A body over [`Limits::body`](super::Limits::body) whose length was not announced.
    #[error("the body is over the limit of {0} bytes")]
    StreamTooLarge(u64),
    /// The request needs a method.
    #[error("REQUEST_METHOD is missing")]
    MethodMissing,
    /// Not a token of RFC 9110.
    #[error("REQUEST_METHOD is not a method")]
    MethodInvalid,
    /// The same variable twice, saying different things.
    #[error("{0} is given twice, with different values")]
    Conflict(&'static str),
    /// Digits only, as RFC 9110 §8.6 has it, and no more than a u64 holds.
    #[error("CONTENT_LENGTH is not a number of bytes")]
    LengthInvalid,
    /// A chunked body has no length over uwsgi, which frames none.
    #[error("a body needs a CONTENT_LENGTH")]
    LengthRequired,
    /// A body whose end and length disagree.
    #[error("the body is not of the {0} bytes that CONTENT_LENGTH says")]
    LengthWrong(u64),
    /// More requests at a time than a connection may carry.
    #[error("more than {0} requests at a time on one connection")]
    TooManyRequests(usize),
    /// The path or query cannot be part of a URI.
    #[error("the path or query is not part of a URI")]
    UriInvalid,
    /// A header's name or value holds a byte that HTTP forbids.
    #[error("a header has a name or value that HTTP forbids")]
    HeaderInvalid,
    /// For a client: what came is not the head of a response.
    #[error("the answer does not start with the head of a response")]
    ResponseInvalid,
}

impl Error {
    /// The status that says so to the client.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::HeadTooLarge(..) | Self::TooManyVars(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge(..) | Self::StreamTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::TooManyRequests(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
