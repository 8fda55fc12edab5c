//! What must hold whatever bytes come: a function per fuzz target, each a plain function of the bytes.
//!
//! cargo-fuzz calls them with bytes of its own making, `cargo test -p predictd-fuzz` with those of the corpus. They
//! panic where an invariant does not hold, and do nothing else.
#![forbid(unsafe_code)]

mod fastcgi;
mod multipart;
mod predict;
mod round_trip;
mod uwsgi;
mod v1;
mod v2_binary;
mod v2_json;

pub use fastcgi::{fastcgi_server, fastcgi_split};
pub use multipart::multipart;
pub use predict::predict;
pub use round_trip::fastcgi_round_trip;
pub use uwsgi::uwsgi;
pub use v1::v1;
pub use v2_binary::v2_binary;
pub use v2_json::v2_json;

use std::{ffi::OsString, fs, io};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All of them, by the name of their corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("uwsgi", uwsgi),
    ("fastcgi_server", fastcgi_server),
    ("fastcgi_split", fastcgi_split),
    ("fastcgi_round_trip", fastcgi_round_trip),
    ("v2_json", v2_json),
    ("v2_binary", v2_binary),
    ("v1", v1),
    ("multipart", multipart),
    ("predict", predict),
];

/// Runs a target on files: how a finding is looked at without cargo-fuzz.
///
/// # Errors
/// Where a file cannot be read.
pub fn replay(target: Target, files: impl Iterator<Item = OsString>) -> io::Result<()> {
    for file in files {
        target(&fs::read(&file)?);
    }
    Ok(())
}
