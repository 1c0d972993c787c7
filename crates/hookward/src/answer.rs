//! Owns what a provider wants to hear of every event that was taken, where it insists on something. Answering is the caller's.

use serde::Deserialize;

/// The longest such body, in bytes.
const MAX_BODY: usize = 1024;

/// What a provider wants to hear of an event that was taken, where any success would not do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawEventAnswer")]
pub struct EventAnswer {
    /// 200 to 299.
    pub status: u16,
    /// The body; may be empty.
    pub body: String,
    /// The type of the body.
    pub content_type: String,
}

/// An `[answer]` table: what the provider wants to hear of every event that was taken, for one that takes no other success. A repeat is
/// answered likewise.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEventAnswer {
    /// The status, 200 to 299; 200 where it is left out.
    status: Option<u16>,
    /// The body, byte for byte.
    #[serde(default)]
    body: String,
    /// The type of the body: `text/plain` where it is left out.
    content_type: Option<String>,
}

impl TryFrom<RawEventAnswer> for EventAnswer {
    type Error = String;

    fn try_from(raw: RawEventAnswer) -> Result<Self, String> {
        let RawEventAnswer { status, body, content_type } = raw;
        let status = status.unwrap_or(200);
        if !(200..300).contains(&status) {
            return Err(format!("the `status` of an answer is 200 to 299, not {status}: the event was taken"));
        }
        if status == 204 && !body.is_empty() {
            return Err("an answer with status 204 has no body".into());
        }
        if body.len() > MAX_BODY {
            return Err(format!("the `body` of an answer has at most {MAX_BODY} bytes"));
        }
        let content_type = content_type.unwrap_or_else(|| "text/plain".to_owned());
        if content_type.is_empty() || !content_type.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err("the `content_type` of an answer is plain text".into());
        }
        Ok(Self { status, body, content_type })
    }
}
