//! Routes and their description, put together in one go: a line of the router is a method, a path, a handler and a
//! sentence. Before the first `: ` the sentence is a title, behind it an explanation.

use std::any::type_name;
use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use serde_json::Value;

use super::document::Document;
use super::operation::{Described, Operation};
use super::part::Documented;
use crate::api::Api;
use crate::api::idempotency::{self, AskedOnce};
use crate::api::problem::Code;

/// Routes below one path, and what the document says of them.
#[derive(Debug)]
pub(crate) struct Routes {
    router: Router<Arc<Api>>,
    open: Router<Arc<Api>>,
    document: Document,
    below: &'static str,
    section: &'static str,
}

impl Routes {
    /// No routes yet; all of them will stand below this path.
    pub(crate) fn below(path: &'static str) -> Self {
        Self { router: Router::new(), open: Router::new(), document: Document::new(), below: path, section: "" }
    }

    /// What follows is about this kind of thing.
    pub(crate) fn section(mut self, name: &'static str, about: &'static str) -> Self {
        self.document.section(name, about);
        self.section = name;
        self
    }

    pub(crate) fn get<H: Documented<T>, T: 'static>(self, path: &'static str, handler: H, text: &'static str) -> Self {
        self.route::<H, T>("get", path, get(handler), text, |_| {})
    }

    pub(crate) fn post<H: Documented<T>, T: 'static>(self, path: &'static str, handler: H, text: &'static str) -> Self {
        self.route::<H, T>("post", path, post(handler), text, |_| {})
    }

    pub(crate) fn put<H: Documented<T>, T: 'static>(self, path: &'static str, handler: H, text: &'static str) -> Self {
        self.route::<H, T>("put", path, put(handler), text, |_| {})
    }

    pub(crate) fn patch<H: Documented<T>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
        text: &'static str,
    ) -> Self {
        self.route::<H, T>("patch", path, patch(handler), text, |_| {})
    }

    pub(crate) fn delete<H: Documented<T>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
        text: &'static str,
    ) -> Self {
        self.route::<H, T>("delete", path, delete(handler), text, |_| {})
    }

    /// A `POST` that makes something: with an `Idempotency-Key` it is done once, however often it is sent.
    pub(crate) fn creates<H: Documented<T>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
        text: &'static str,
    ) -> Self {
        self.route::<H, T>("post", path, post(AskedOnce(handler)), text, idempotency::describe)
    }

    /// A `POST` for whoever comes. Nothing else answers without knowing who asks.
    pub(crate) fn open_post<H: Documented<T>, T: 'static>(
        mut self,
        path: &'static str,
        handler: H,
        text: &'static str,
    ) -> Self {
        self.describe::<H, T>("post", path, text, |_| {});
        self.open = self.open.route(path, post(handler));
        self
    }

    /// The route before may answer with this problem as well.
    pub(crate) fn or(mut self, code: Code) -> Self {
        self.document.may(code);
        self
    }

    fn route<H: Documented<T>, T: 'static>(
        mut self,
        method: &'static str,
        path: &'static str,
        routed: MethodRouter<Arc<Api>>,
        text: &'static str,
        more: fn(&mut Operation<'_>),
    ) -> Self {
        self.describe::<H, T>(method, path, text, more);
        self.router = self.router.route(path, routed);
        self
    }

    fn describe<H: Documented<T>, T: 'static>(
        &mut self,
        method: &'static str,
        path: &'static str,
        text: &'static str,
        more: fn(&mut Operation<'_>),
    ) {
        let described = Described::new(format!("{}{path}", self.below), method, id::<H>(), self.section, text);
        self.document.add(described, |operation| {
            H::describe(operation);
            more(operation);
        });
    }

    /// The routes that need to know who asks, those that do not, and the description of all.
    pub(crate) fn finish(self) -> (Router<Arc<Api>>, Router<Arc<Api>>, Value) {
        (self.router, self.open, self.document.into_json())
    }
}

/// `sources.list` of `…::api::sources::list`.
fn id<H>() -> String {
    let mut parts = type_name::<H>().rsplit("::");
    let (name, module) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{module}.{name}")
}
