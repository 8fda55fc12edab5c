//! How a front end hands over a request: which protocol it speaks, uwsgi packets, FastCGI records, CGI variables, and
//! the head of the answer.

pub mod cgi;
pub mod detect;
mod error;
pub mod fastcgi;
mod limits;
pub mod uwsgi;

pub use detect::{Stranger, Wire, Wires, detect};
pub use error::Error;
pub use limits::Limits;
