//! The styles, the script and the sign of the dashboard: in the binary, under an address that changes with their bytes, so
//! that browsers keep them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// Name, media type, content.
const FILES: [(&str, &str, &[u8]); 3] = [
    ("dashboard.css", "text/css; charset=utf-8", include_bytes!("../../assets/dashboard/dashboard.css")),
    ("dashboard.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/dashboard/dashboard.js")),
    ("sign.svg", "image/svg+xml", include_bytes!("../../assets/dashboard/sign.svg")),
];

/// What tells these files from those of another build.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    FILES.iter().for_each(|(_, _, content)| hash.update(content));
    hex::encode(&hash.finalize()[..8])
});

/// The address of a file.
pub(super) fn url(name: &str) -> String {
    format!("/dashboard/assets/{}/{name}", *VERSION)
}

/// `GET /dashboard/assets/{version}/{name}`
pub(super) async fn asset(Path((version, name)): Path<(String, String)>) -> Response {
    let file = FILES.iter().find(|(known, _, _)| *known == name).filter(|_| version == *VERSION);
    let Some((_, kind, content)) = file else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, *content).into_response()
}
