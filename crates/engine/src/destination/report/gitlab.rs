//! GitLab's calls: `POST /projects/{path}/statuses/{sha}` and merge-request notes.
//! Source: docs.gitlab.com/api, version 4.

use ::http::Method;
use serde_json::json;

use super::api::{Api, Failed};
use super::subject::Subject;
use super::text::{Message, State};
use crate::model::ReportSpec;

/// Tells everything that is asked for; returns what was told. GitLab has no check runs.
pub(super) async fn tell(
    api: &Api<'_>,
    spec: &ReportSpec,
    subject: &Subject,
    message: &Message,
) -> Result<Vec<String>, Failed> {
    let project = format!("/projects/{}", subject.repository.replace('/', "%2F"));
    let mut told = Vec::new();
    if let Some(name) = &spec.status {
        let state = match message.state {
            State::Passed => "success",
            State::Failed | State::Broken => "failed",
        };
        let body = json!({ "state": state, "name": name, "description": message.description });
        api.send(Method::POST, &format!("{project}/statuses/{}", subject.commit), &body).await?;
        told.push("commit status".to_owned());
    }
    if let (true, Some(iid)) = (spec.comment, subject.request) {
        note(api, &format!("{project}/merge_requests/{iid}/notes"), message).await?;
        told.push(format!("comment on !{iid}"));
    }
    Ok(told)
}

/// Anybody can write a note that begins with our mark; one that is not ours to change is passed over.
async fn note(api: &Api<'_>, all: &str, message: &Message) -> Result<(), Failed> {
    let body = json!({ "body": message.comment });
    for id in api.marked(all, &message.mark).await? {
        if api.change(Method::PUT, &format!("{all}/{id}"), &body).await? {
            return Ok(());
        }
    }
    api.send(Method::POST, all, &body).await
}
