//! The page for people, at `/`: a few files that are part of the program. They get all they show from `/status`, and by the
//! policy that they come with nothing from anywhere else: no script but these, nothing of another server, no frame around them.

use crate::api::App;
use axum::{Router, routing::get};
use http::{HeaderName, header};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where each file is, what it is, and itself.
const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/figures.js", "text/javascript; charset=utf-8", include_str!("page/figures.js")),
    ("/fill.js", "text/javascript; charset=utf-8", include_str!("page/fill.js")),
    ("/try.js", "text/javascript; charset=utf-8", include_str!("page/try.js")),
];

pub(super) fn routes(router: Router<App>) -> Router<App> {
    FILES.into_iter().fold(router, |router, (path, kind, text)| {
        router.route(path, get(move || async move { (headers(kind), text) }))
    })
}

fn headers(kind: &'static str) -> [(HeaderName, &'static str); 5] {
    [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The next version of the program has other files.
        (header::CACHE_CONTROL, "no-cache"),
    ]
}
