//! Who may call the admin interface: not a page of somebody else's that the owner's browser happens to show.
//!
//! Such a page can send requests here, and by a name of its own that leads to our address (DNS rebinding) read the answers.
//! But its requests name it: in Host the name that the browser was given, in Origin the page.

use crate::{api::Error, os::socket::Address};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, header, uri::Authority};
use predictd_protocol::excerpt::excerpt;
use std::{net::IpAddr, sync::Arc};

/// By which names the interface may be called.
#[derive(Clone, Debug)]
pub struct Callers {
    /// A browser does not get to a Unix socket but by somebody who has the rights.
    any_host: bool,
    names: Vec<String>,
}

impl Callers {
    /// Those of an interface at `address`: by its number, as `localhost`, or by one of `names`.
    #[must_use]
    pub fn of(address: &Address, names: &[String]) -> Self {
        let any_host = matches!(address, Address::Unix(_) | Address::Abstract(_));
        Self { any_host, names: names.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        let host = text(headers, &header::HOST)?.unwrap_or_default();
        if !self.any_host && !self.knows(host) {
            return Err(Error::Forbidden(format!(
                "the admin interface is not called '{}': call it by its IP address or localhost, or put the name into admin_hosts",
                excerpt(host)
            )));
        }
        let Some(origin) = text(headers, &header::ORIGIN)? else { return Ok(()) };
        let page = origin.split_once("://").map(|(_, page)| page);
        if page.is_some_and(|page| page.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        Err(Error::Forbidden(format!(
            "the admin interface does not take requests from pages of '{}'",
            excerpt(origin)
        )))
    }

    fn knows(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host();
        let number = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        // `user@host` is no Host.
        !host.contains('@')
            && (number.parse::<IpAddr>().is_ok()
                || name.eq_ignore_ascii_case("localhost")
                || self.names.iter().any(|known| known.eq_ignore_ascii_case(name)))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let bad = |_| Error::BadRequest(format!("the header {name} is not plain text"));
    headers.get(name).map(|value| value.to_str().map_err(bad)).transpose()
}

/// That a request came by the admin interface: one of its extensions.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Owner;

/// Lets through whoever may call.
pub(super) async fn check(State(callers): State<Arc<Callers>>, mut request: Request, next: Next) -> Response {
    match callers.check(request.headers()) {
        Ok(()) => {
            request.extensions_mut().insert(Owner);
            next.run(request).await
        }
        Err(error) => {
            let (method, path) = (request.method().as_str(), request.uri().path());
            tracing::warn!(method = %excerpt(method), path = %excerpt(path), "refused: {error}");
            error.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn check(address: &str, host: Option<&str>, origin: Option<&str>) -> bool {
        let callers = Callers::of(&address.parse().unwrap(), &["Admin.example".to_owned()]);
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            headers.extend(value.map(|value| (name, value.parse().unwrap())));
        }
        let checked = callers.check(&headers);
        assert!(checked.as_ref().is_ok() || checked.as_ref().unwrap_err().status() == StatusCode::FORBIDDEN);
        checked.is_ok()
    }

    #[test]
    fn a_name_that_is_not_ours_is_refused() {
        let host = |host| check("127.0.0.1:8099", host, None);
        for fine in [
            "127.0.0.1:8099",
            "127.0.0.1",
            "10.1.2.3",
            "[::1]:8099",
            "[::1]",
            "localhost:8099",
            "LOCALHOST",
            "admin.example",
            "ADMIN.example:80",
        ] {
            assert!(host(Some(fine)), "{fine}");
        }
        for foreign in [
            "evil.example",
            "evil.example:8099",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "localhost@evil.example",
            "evil.example@localhost",
            "127.0.0.1, evil.example",
            "127.0.0.1/evil",
            "[::1",
            "0x7f.1",
            "2130706433",
            "",
        ] {
            assert!(!host(Some(foreign)), "{foreign}");
        }
        assert!(!host(None));
        assert!(check("unix:/x", Some("evil.example"), None) && check("unix:@x", None, None));
    }

    #[test]
    fn a_page_must_be_our_own() {
        let origin = |host, origin| check("127.0.0.1:8099", Some(host), Some(origin));
        assert!(origin("127.0.0.1:8099", "http://127.0.0.1:8099"));
        assert!(origin("localhost", "https://LocalHost"));
        for foreign in
            ["null", "", "http://127.0.0.1", "http://localhost:8099", "http://evil.example", "127.0.0.1:8099"]
        {
            assert!(!origin("127.0.0.1:8099", foreign), "{foreign}");
        }
        assert!(!check("unix:/x", None, Some("http://evil.example")), "by a proxy to a Unix socket neither");
    }
}
