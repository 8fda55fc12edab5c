//! What a peer may make us hold.

/// Bounds on one request. They are checked while bytes arrive, never after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of variables (uwsgi, FastCGI) or of request line and headers (HTTP).
    pub head: usize,
    /// Bytes of body.
    pub body: u64,
    /// Variables in one head. uWSGI's own default is 128.
    pub vars: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 64 * 1024, body: 64 * 1024 * 1024, vars: 256 }
    }
}
