//! The public interface, told to machines and people: `openapi.yaml`, served as JSON.

use super::encoding::{Accepted, Constant};
use axum::response::Response;
use http::HeaderMap;

/// What build.rs makes of it.
const DOCUMENT: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

/// `GET /openapi.json`
pub(super) async fn document(headers: HeaderMap) -> Response {
    static BODY: Constant = Constant::new(DOCUMENT);
    BODY.answer(Accepted::of(&headers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::described;
    use predictd_protocol::inference::tensor::Datatype;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Says why there is nothing there, whatever is asked.
    const EXPLAINS: &str = "/v1/models/{model}/labels/{label}";

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document = document();
        // The verb is no part of a route's path: its last parameter takes it too.
        let documented: BTreeSet<&str> = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .map(|path| path.trim_end_matches(":predict"))
            .collect();
        let routes = described();
        let served: BTreeSet<&str> =
            routes.iter().map(|(path, _)| *path).filter(|path| *path != EXPLAINS).collect();
        assert_eq!(documented, served);
        assert_eq!(served.len() + 1, routes.len());
    }

    #[test]
    fn the_document_has_every_datatype_and_the_version() {
        let document = document();
        let names = document["components"]["schemas"]["Datatype"]["enum"].as_array().unwrap();
        let datatypes: Option<Vec<Datatype>> =
            names.iter().map(|name| Datatype::from_name(name.as_str()?)).collect();
        assert_eq!(datatypes.unwrap(), Datatype::ALL.map(|(datatype, _)| datatype));
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(document["openapi"], "3.1.0");
    }
}
