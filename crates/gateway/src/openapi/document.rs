//! The whole document, and the answers that show it: as it is, and rendered for people.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use super::operation::{Described, Operation};
use super::schemas::Schemas;
use super::{example, reference};
use crate::api::Api;
use crate::api::problem::{self, Code};

/// What every caller should know.
const ABOUT: &str = "Everything that the command line does goes through this API, which answers on the admin listener. \
Times are RFC 3339 in UTC; durations and sizes carry their unit in the name. Lists are newest first, and `next` is the \
`cursor` of the next page. What went wrong is a problem document (RFC 9457), whose `code` never changes its meaning. \
Fields that are not described here are refused, in a body as in a query.";

/// How a request says who sends it.
const KEY: &str = "An API key, as `Authorization: Bearer <key>`. Never in a URL: a key there is refused.";

/// How a browser says it.
const SESSION: &str =
    "The session that signing in began, for pages of the gateway's own. Programs send its token as a key.";

/// A policy under which the reference can only be read.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The stylesheet of the reference.
const STYLE: &str = include_str!("../../assets/reference.css");

/// A document under way.
#[derive(Debug)]
pub(crate) struct Document {
    schemas: Schemas,
    sections: Vec<Value>,
    operations: Vec<Described>,
}

impl Document {
    pub(super) fn new() -> Self {
        Self { schemas: Schemas::new(), sections: Vec::new(), operations: Vec::new() }
    }

    /// What the operations that follow are about.
    pub(super) fn section(&mut self, name: &str, about: &str) {
        self.sections.push(json!({ "name": name, "description": about }));
    }

    /// One more operation.
    pub(super) fn add(&mut self, mut described: Described, describe: impl FnOnce(&mut Operation<'_>)) {
        describe(&mut Operation { schemas: &mut self.schemas, described: &mut described });
        self.operations.push(described);
    }

    /// The operation added last may answer with this problem as well.
    pub(super) fn may(&mut self, code: Code) {
        let last = self.operations.last_mut().expect("an operation stands before what is said of it");
        last.codes.insert(code);
    }

    /// The whole of it.
    pub(super) fn into_json(mut self) -> Value {
        self.schemas.given::<problem::Document<'_>>();
        let schemas = self.schemas.finish();
        let (mut paths, mut problems) = (Map::new(), Map::new());
        for operation in self.operations {
            let place = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
            let method = operation.method;
            place[method] = with_examples(operation.into_json(&mut problems), &schemas);
        }
        json!({
            "openapi": "3.1.0",
            "info": { "title": "Hookward", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT },
            "servers": [{ "url": "/" }],
            "tags": self.sections,
            "paths": paths,
            "components": {
                "schemas": schemas,
                "responses": problems,
                "securitySchemes": {
                    "bearer": { "type": "http", "scheme": "bearer", "description": KEY },
                    "session": { "type": "apiKey", "in": "cookie", "name": "hookward_session", "description": SESSION },
                },
            },
        })
    }
}

/// Adds an example to every body that has none.
fn with_examples(mut operation: Value, schemas: &Map<String, Value>) -> Value {
    let give = |content: Option<&mut Value>| {
        for (_, media) in content.and_then(Value::as_object_mut).into_iter().flatten() {
            if media.get("example").is_none() {
                media["example"] = example::of(&media["schema"], schemas);
            }
        }
    };
    give(operation.pointer_mut("/requestBody/content"));
    for (_, answer) in operation["responses"].as_object_mut().into_iter().flatten() {
        give(answer.get_mut("content"));
    }
    operation
}

/// The document as it is checked in.
pub(crate) fn text(document: &Value) -> String {
    serde_json::to_string_pretty(document).expect("a JSON value can be written") + "\n"
}

/// Where the document is shown, to anyone: it says nothing that the source code does not.
pub(crate) fn documents(document: &Value) -> Router<Arc<Api>> {
    let page = |media_type: &'static str, body: String| {
        let body = Bytes::from(body);
        get(async move || {
            let mut response = body.clone().into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            response
        })
    };
    Router::new()
        .route("/api/openapi.json", page("application/json", text(document)))
        .route("/api/reference", page("text/html; charset=utf-8", reference::page(document)))
        .route("/api/reference.css", page("text/css; charset=utf-8", STYLE.to_owned()))
}
