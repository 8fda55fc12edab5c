//! What makes a connection useless: after one of these the two sides no longer agree on where a record starts, or the
//! peer does not keep to the protocol. A request that is merely wrong is answered instead, see
//! [`Event::Reject`](super::server::Event::Reject).

/// Why the connection has to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Only version 1 exists.
    #[error("a record says FastCGI version {0}, not 1")]
    Version(u8),
    /// Id 0 is for management records.
    #[error("a record of type {0} belongs to no request: its id is 0")]
    IdZero(u8),
    /// The body of `BEGIN_REQUEST` and `END_REQUEST` is 8 bytes.
    #[error("a record of type {kind} has {length} bytes, not 8")]
    BodyLength {
        /// The record's type.
        kind: u8,
        /// What its header says.
        length: u16,
    },
    /// The id is still in use.
    #[error("request {0} is begun a second time")]
    BegunTwice(u16),
    /// The body cannot come before the head.
    #[error("request {0} sends STDIN before the end of its PARAMS")]
    StdinBeforeParams(u16),
    /// No variable can be longer than all of them may be.
    #[error("a variable of request {id} claims {length} bytes")]
    PairTooLong {
        /// The request.
        id: u16,
        /// Length of name and value as claimed.
        length: u64,
    },
    /// A management record that cannot be read.
    #[error("the pairs of a management record are broken")]
    ValuesBroken,
    /// More ids than [`MAX_IDS`](super::server::MAX_IDS).
    #[error("more than {0} requests wait for their answers")]
    TooManyIds(usize),
    /// The peer asks and asks, but does not read.
    #[error("{0} bytes of small answers wait for a peer that does not read")]
    NotReading(usize),
    /// An answer to a question that was not asked.
    #[error("a record of type {kind} answers request {id}, which is not open")]
    NotAsked {
        /// The record's type.
        kind: u8,
        /// The request.
        id: u16,
    },
    /// An answer over what the client is ready to hold.
    #[error("the answers are over the limit of {0} bytes")]
    AnswerTooLarge(usize),
    /// Something of ours that the format cannot say.
    #[error("{0} bytes are more than FastCGI can say here")]
    TooLong(usize),
}
