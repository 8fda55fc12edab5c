//! How a front end hands over a request: uwsgi packets, CGI variables, and the head of the answer.

pub mod cgi;
mod error;
mod limits;
pub mod uwsgi;

pub use error::Error;
pub use limits::Limits;
