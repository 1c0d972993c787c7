//! GitHub's calls: `POST /repos/{repository}/statuses/{sha}`, check runs, issue comments.
//! Source: docs.github.com/en/rest, version 2022-11-28.

use ::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::api::{Api, Failed};
use super::subject::Subject;
use super::text::{Message, State};
use crate::model::ReportSpec;

/// Tells everything that is asked for; returns what was told.
pub(super) async fn tell(
    api: &Api<'_>,
    spec: &ReportSpec,
    subject: &Subject,
    message: &Message,
) -> Result<Vec<String>, Failed> {
    let mut told = Vec::new();
    if let Some(context) = &spec.status {
        status(api, context, subject, message).await?;
        told.push("commit status".to_owned());
    }
    if let Some(name) = &spec.check_run {
        check_run(api, name, subject, message).await?;
        told.push("check run".to_owned());
    }
    if let (true, Some(number)) = (spec.comment, subject.request) {
        comment(api, number, subject, message).await?;
        told.push(format!("comment on #{number}"));
    }
    Ok(told)
}

async fn status(api: &Api<'_>, context: &str, subject: &Subject, message: &Message) -> Result<(), Failed> {
    let state = match message.state {
        State::Passed => "success",
        State::Failed => "failure",
        State::Broken => "error",
    };
    let path = format!("/repos/{}/statuses/{}", subject.repository, subject.commit);
    let body = json!({ "state": state, "context": context, "description": message.description });
    api.send(Method::POST, &path, &body).await
}

#[derive(Deserialize)]
struct CheckRuns {
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    id: u64,
    external_id: Option<String>,
}

/// One run for each delivery told of: a second attempt finds the first one's by its external id.
async fn check_run(api: &Api<'_>, name: &str, subject: &Subject, message: &Message) -> Result<(), Failed> {
    let conclusion = match message.state {
        State::Passed => "success",
        State::Failed => "failure",
        State::Broken => "timed_out",
    };
    let body = json!({
        "name": name,
        "head_sha": subject.commit,
        "external_id": message.delivery,
        "status": "completed",
        "conclusion": conclusion,
        "output": { "title": message.description, "summary": message.comment },
    });
    let runs = format!("/repos/{}/check-runs", subject.repository);
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let list = format!("/repos/{}/commits/{}/check-runs?check_name={encoded}", subject.repository, subject.commit);
    let existing: CheckRuns = api.get(&format!("{list}&filter=all&per_page=100")).await?;
    let ours = existing.check_runs.iter().find(|run| run.external_id.as_ref() == Some(&message.delivery));
    match ours {
        Some(run) => api.send(Method::PATCH, &format!("{runs}/{}", run.id), &body).await,
        None => api.send(Method::POST, &runs, &body).await,
    }
}

/// Anybody can write a comment that begins with our mark; one that is not ours to change is passed over.
async fn comment(api: &Api<'_>, number: u64, subject: &Subject, message: &Message) -> Result<(), Failed> {
    let all = format!("/repos/{}/issues/{number}/comments", subject.repository);
    let body = json!({ "body": message.comment });
    for id in api.marked(&all, &message.mark).await? {
        let one = format!("/repos/{}/issues/comments/{id}", subject.repository);
        if api.change(Method::PATCH, &one, &body).await? {
            return Ok(());
        }
    }
    api.send(Method::POST, &all, &body).await
}
