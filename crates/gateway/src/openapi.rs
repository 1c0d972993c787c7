//! The description of the API (OpenAPI 3.1), collected from the handlers while the router is put together: what a
//! handler takes and answers describes itself, the router adds path, method and a sentence. A handler of which
//! anything is not described does not compile. Knows nothing of what handlers do.

mod document;
mod example;
mod operation;
mod part;
mod reference;
mod routes;
mod schemas;

pub(crate) use document::documents;
#[cfg(test)]
pub(crate) use document::text;
pub(crate) use operation::Operation;
pub(crate) use part::{Answers, Takes};
pub(crate) use routes::Routes;
