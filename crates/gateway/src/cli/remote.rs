//! The gateway at the other end: one request, and what its answer means for the exit status.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use zeroize::Zeroizing;

use super::exit::Exit;
use super::print::{self, Column};
use super::{Output, Remote};
use crate::{client, config, world};

/// What stands unescaped in a path segment or a query value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A gateway that can be asked.
pub(super) struct Gateway {
    url: String,
    key: Zeroizing<String>,
    output: Output,
    client: client::Client,
}

impl Remote {
    /// The gateway these options mean.
    pub(super) fn open(self) -> Result<Gateway, Exit> {
        let given = world::variable("HOOKWARD_API_KEY").filter(|key| !key.is_empty()).map(Zeroizing::new);
        let key = match (given, world::variable("HOOKWARD_API_KEY_FILE").filter(|path| !path.is_empty())) {
            (None, Some(path)) => Some(key_in(Path::new(&path))?),
            (given, _) => given,
        };
        let key = key.ok_or_else(|| {
            Exit::not_authorised(
                "HOOKWARD_API_KEY is not set, nor is HOOKWARD_API_KEY_FILE; a gateway that was started without one keeps it in `api-key` in its data \
                 directory: export HOOKWARD_API_KEY=$(cat hookward-data/api-key)",
            )
        })?;
        let client = client::Client::patient(client::PATIENCE)?;
        Ok(Gateway { url: self.url.trim_end_matches('/').to_owned(), key, output: self.output, client })
    }
}

/// The key in a file that nobody else can read.
fn key_in(path: &Path) -> Result<Zeroizing<String>, Exit> {
    let name = path.display();
    let unreadable =
        |error: std::io::Error| Exit::usage(format!("HOOKWARD_API_KEY_FILE: {name} cannot be read: {error}"));
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let problem = format!("HOOKWARD_API_KEY_FILE: {name} can be read by others (mode {mode:04o})");
        return Err(Exit::usage(format!(
            "{problem}: `chmod 600` it, and make another key if anybody may have read it"
        )));
    }
    let bytes = config::without_newline(std::fs::read(path).map_err(unreadable)?);
    let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Exit::usage(format!("HOOKWARD_API_KEY_FILE: {name} holds no key")))?;
    Ok(Zeroizing::new(text.to_owned()))
}

impl Gateway {
    /// Asks for something.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Exit> {
        json(&self.send("GET", path, &[], Bytes::new()).await?)
    }

    /// Asks for something that may not exist.
    pub(super) async fn get_if_any(&self, path: &str) -> Result<Option<Value>, Exit> {
        match self.get(path).await {
            Err(exit) if exit.is_not_found() => Ok(None),
            result => result.map(Some),
        }
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Whether a person reads what is printed.
    pub(super) fn is_for_people(&self) -> bool {
        self.output == Output::Table
    }

    /// Asks for exact bytes.
    pub(super) async fn bytes(&self, path: &str) -> Result<Bytes, Exit> {
        self.send("GET", path, &[], Bytes::new()).await
    }

    /// Asks for exact bytes, and hands them on as they come, however long that takes.
    pub(super) async fn stream(&self, path: &str, take: impl FnMut(&[u8]) -> Result<(), Exit>) -> Result<(), Exit> {
        self.stream_answer("GET", path, take).await
    }

    /// Asks for something to be done whose answer is exact bytes, and hands them on as they come.
    pub(super) async fn stream_post(
        &self,
        path: &str,
        take: impl FnMut(&[u8]) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        self.stream_answer("POST", path, take).await
    }

    async fn stream_answer(
        &self,
        method: &str,
        path: &str,
        take: impl FnMut(&[u8]) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        let url = format!("{}/api/v1{path}", self.url);
        let headers = [self.authorization()];
        let mut answer = client::open(method, &url, &headers).await.map_err(|error| self.unreachable(&error))?;
        if answer.status != 200 {
            let body = answer.whole().await.map_err(|error| self.unreachable(&error))?;
            return Err(self.problem(answer.status, &body));
        }
        let mut take = take;
        while let Some(part) = answer.next().await.map_err(|error| self.unreachable(&error))? {
            take(&part)?;
        }
        Ok(())
    }

    fn authorization(&self) -> (String, String) {
        ("authorization".to_owned(), format!("Bearer {}", self.key.as_str()))
    }

    /// Asks for something to be done.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Exit> {
        json(&self.send("POST", path, &[], body.to_string().into()).await?)
    }

    /// Asks for something to be gone.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Exit> {
        self.send("DELETE", path, &[], Bytes::new()).await.map(drop)
    }

    /// Asks for something to be changed.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value, Exit> {
        json(&self.send("PATCH", path, &[], body.to_string().into()).await?)
    }

    /// Asks for something to be as given from now on.
    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, Exit> {
        json(&self.send("PUT", path, &[], body.to_string().into()).await?)
    }

    /// Sends bytes as they are.
    pub(super) async fn post_bytes(
        &self,
        path: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Value, Exit> {
        json(&self.send("POST", path, headers, body).await?)
    }

    /// Shows a list as it was asked for.
    pub(super) fn list(&self, list: &Value, columns: &[Column]) -> Result<(), Exit> {
        if self.output == Output::Json {
            return print::json(list);
        }
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        match (items.is_empty(), list["next"].as_str()) {
            (true, None) => print::line("none"),
            (true, Some(cursor)) => print::line(&format!("none so far; more to look at: --cursor {cursor}")),
            (false, None) => print::line(&print::table(items, columns)),
            (false, Some(cursor)) => {
                print::line(&format!("{}\n\nmore: --cursor {cursor}", print::table(items, columns)))
            }
        }
    }

    /// Shows one thing as it was asked for.
    pub(super) fn show(&self, value: &Value) -> Result<(), Exit> {
        if self.output == Output::Json { print::json(value) } else { print::line(&print::fields(value)) }
    }

    /// Shows what was done: the sentence for people, the answer for programs.
    pub(super) fn done(&self, value: &Value, sentence: &str) -> Result<(), Exit> {
        if self.output == Output::Json { print::json(value) } else { print::line(sentence) }
    }

    async fn send(&self, method: &str, path: &str, more: &[(String, String)], body: Bytes) -> Result<Bytes, Exit> {
        let mut headers = vec![self.authorization()];
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        headers.extend_from_slice(more);
        let url = format!("{}/api/v1{path}", self.url);
        let answer = self.client.send(method, &url, &headers, body).await.map_err(|error| self.unreachable(&error))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        Err(self.problem(answer.status, &answer.body))
    }

    fn unreachable(&self, error: &anyhow::Error) -> Exit {
        let url = &self.url;
        let refused = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
        };
        if error.chain().any(refused) {
            return Exit::failure(format!(
                "nothing answers at {url}: is `hookward serve` running? HOOKWARD_URL or --url says where its admin listener is"
            ));
        }
        Exit::failure(format!("cannot reach {url}: {error:#}"))
    }

    fn problem(&self, status: u16, body: &[u8]) -> Exit {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(detail) = document["detail"].as_str() else {
            return Exit::failure(format!("{} answered {status}: is it a gateway's admin listener?", self.url));
        };
        match status {
            401 | 403 => Exit::not_authorised(format!("the gateway does not accept this HOOKWARD_API_KEY: {detail}")),
            404 => Exit::not_found(detail),
            409 | 412 | 428 | 429 => Exit::refused(detail),
            400 | 413 | 415 | 422 => Exit::usage(detail),
            _ => Exit::failure(detail),
        }
    }
}

fn json(body: &[u8]) -> Result<Value, Exit> {
    serde_json::from_slice(body).map_err(|error| Exit::failure(format!("the answer is not JSON: {error}")))
}

/// `text` as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The options that were given, as a query.
pub(super) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", segment((*value)?))));
    let query: Vec<String> = given.collect();
    if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) }
}

/// The bytes behind a revealed secret.
pub(super) fn revealed(value: &Value) -> Option<Zeroizing<Vec<u8>>> {
    let text = value["secret"].as_str()?;
    match value["encoding"].as_str() {
        Some("base64") => base64::engine::general_purpose::STANDARD.decode(text).ok().map(Zeroizing::new),
        _ => Some(Zeroizing::new(text.as_bytes().to_vec())),
    }
}
