//! The variable parts of a page's address, and where the pages of a source or a destination are.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::super::page::{Failure, escaped};
use super::super::shell::Section;
use crate::api::Api;
use crate::api::extract::{Path, Segments};
use crate::api::secrets::Owners;

/// The variable parts of a page's address. One that cannot be is one that there is not.
#[derive(Debug)]
pub(super) struct At<T>(pub(in crate::dashboard) T);

impl<T: Segments> FromRequestParts<Arc<Api>> for At<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Failure> {
        let Path(found) = Path::<T>::from_request_parts(parts, api).await?;
        Ok(Self(found))
    }
}

/// As addresses name them.
pub(super) fn word(owners: Owners) -> &'static str {
    match owners {
        Owners::Sources => "sources",
        Owners::Destinations => "destinations",
    }
}

/// One of them, as sentences name it.
pub(super) fn one(owners: Owners) -> &'static str {
    match owners {
        Owners::Sources => "source",
        Owners::Destinations => "destination",
    }
}

/// The part of the dashboard that they are.
pub(super) fn section(owners: Owners) -> Section {
    match owners {
        Owners::Sources => Section::Sources,
        Owners::Destinations => Section::Destinations,
    }
}

/// The page of one.
pub(super) fn page_of(owners: Owners, name: &str) -> String {
    format!("/dashboard/{}/{}", word(owners), escaped(name))
}
