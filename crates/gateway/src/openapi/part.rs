//! What handlers are made of, and that each part says what it is: nothing reaches the router that is not described.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::handler::Handler;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;

use super::operation::Operation;
use crate::api::Api;
use crate::api::problem::Problem;

/// Something that a handler takes from a request.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it takes from a request, so the API's document cannot",
    note = "use `api::extract::{{Path, Query, Body, Optional}}`, whose types derive `JsonSchema`, or implement `Takes` for it"
)]
pub(crate) trait Takes {
    /// Adds it to the operation.
    fn describe(operation: &mut Operation<'_>);
}

/// Something that a handler answers with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it answers, so the API's document cannot",
    note = "use `Json`, or one of `api::answers`, with a type that derives `Serialize` and `JsonSchema`"
)]
pub(crate) trait Answers {
    /// Adds it to the operation.
    fn describe(operation: &mut Operation<'_>);
}

/// A handler all of whose parts describe themselves. `T` is only there to tell handlers of different shape apart.
#[diagnostic::on_unimplemented(
    message = "this handler cannot be described in the API's document",
    note = "everything it takes must be `Takes`, and what it answers `Answers`: see `openapi::part`"
)]
pub(crate) trait Documented<T>: Handler<T, Arc<Api>> {
    /// Adds all of it to the operation.
    fn describe(operation: &mut Operation<'_>);
}

macro_rules! documented {
    ($($part:ident),*) => {
        impl<H, F, R, M, $($part),*> Documented<(M, $($part,)*)> for H
        where
            H: Fn($($part),*) -> F + Handler<(M, $($part,)*), Arc<Api>>,
            F: Future<Output = R>,
            R: Answers,
            $($part: Takes,)*
        {
            fn describe(operation: &mut Operation<'_>) {
                $($part::describe(operation);)*
                R::describe(operation);
            }
        }
    };
}

documented!(A);
documented!(A, B);
documented!(A, B, C);
documented!(A, B, C, D);
documented!(A, B, C, D, E);
documented!(A, B, C, D, E, G);

impl Takes for State<Arc<Api>> {
    fn describe(_: &mut Operation<'_>) {}
}

/// Which of them a handler reads is its own affair: those that callers should know are typed.
impl Takes for HeaderMap {
    fn describe(_: &mut Operation<'_>) {}
}

impl<T: JsonSchema> Answers for Json<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<T>(StatusCode::OK);
    }
}

/// Which problems there may be follows from what is taken, and from what the router says in addition.
impl<T: Answers> Answers for Result<T, Problem> {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
    }
}
