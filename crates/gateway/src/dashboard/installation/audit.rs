//! The audit log: listed newest first, narrowed by what stands in the address, one entry with its place in the chain, and taken
//! out as lines of JSON. The check of the chain is `chain`'s.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::audit::Chain;
use hookward_engine::clock::Timestamp;
use hookward_engine::store::{AuditFilter, AuditRange, AuditRow, Page as Rows};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::super::form::{Form, moment};
use super::super::page::{self, Failure, Page, Refused};
use super::super::pager::{Pager, Place};
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words::When;
use crate::api::caller::{Export, Read};
use crate::api::{Api, audit};

/// Where the list is.
const PATH: &str = "/dashboard/audit";

/// Rows on a page.
const ROWS: u32 = 50;

/// How much of an entry's details stands in the list, in characters.
const SUMMARY_MAX: usize = 140;

#[derive(Debug, Template)]
#[template(path = "dashboard/audit.html")]
struct List {
    shell: Shell,
    asked: Asked,
    rows: Vec<Row>,
    pager: Pager,
    /// What leads to the next page is called so.
    older: &'static str,
    is_narrowed: bool,
    may_export: bool,
    operates: bool,
    since_problem: Option<&'static str>,
    until_problem: Option<&'static str>,
}

/// An entry in the list.
#[derive(Debug)]
struct Row {
    seq: i64,
    at: When,
    actor: String,
    address: String,
    action: String,
    target: String,
    summary: String,
    /// How the list is narrowed to those like it.
    like_actor: String,
    like_action: String,
    like_target: String,
}

/// What stands in the address.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    actor: String,
    action: String,
    target: String,
    since: String,
    until: String,
    #[serde(flatten)]
    place: Place,
}

impl Asked {
    fn words(&self) -> [(&'static str, &str); 5] {
        [
            ("actor", &self.actor),
            ("action", &self.action),
            ("target", &self.target),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    /// The address of the list with these words, and `more`.
    fn address(&self, more: &[(&'static str, &str)]) -> String {
        let words: Vec<_> = self.words().into_iter().chain(more.iter().copied()).collect();
        Self::written(words)
    }

    /// The address of the list with another word in place of one, and from its beginning.
    fn narrowed(&self, name: &'static str, value: &str) -> String {
        Self::written(self.words().map(|(known, word)| (known, if known == name { value } else { word })).to_vec())
    }

    fn written(mut words: Vec<(&str, &str)>) -> String {
        words.retain(|(_, word)| !word.is_empty());
        page::address(PATH, &words)
    }

    fn is_narrowed(&self) -> bool {
        self.words().iter().any(|(_, word)| !word.is_empty())
    }
}

/// `GET /dashboard/audit`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let (since, until) = (moment(&asked.since), moment(&asked.until));
    let (since_problem, until_problem) = (since.err(), until.err());
    let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    let filter = AuditFilter {
        actor: given(&asked.actor),
        action: given(&asked.action),
        target: given(&asked.target),
        since: since.unwrap_or_default(),
        until: until.unwrap_or_default(),
    };
    let is_wrong = since_problem.is_some() || until_problem.is_some();
    let page = Rows { before: asked.place.position(), limit: ROWS };
    let (rows, next) = match is_wrong {
        true => (Vec::new(), None),
        false => {
            let listing = api.engine().store().audit_matching(visitor.organization, filter, page).await?;
            (listing.items, listing.next)
        }
    };
    let now = api.clock().now();
    // Where a look ended before its page was full nobody knows yet whether there is an older one.
    let older = if next.is_some() && rows.len() < ROWS as usize { "Look further back" } else { "Older" };
    let list = List {
        older,
        shell: visitor.shell(&api, Section::Audit, "Audit log"),
        rows: rows.into_iter().map(|entry| row(&asked, entry, now)).collect(),
        pager: asked.place.pager_with(next.map(|next| next.to_string()), |place| asked.address(place)),
        is_narrowed: asked.is_narrowed(),
        may_export: visitor.scopes().contains(hookward_engine::model::Scope::Export),
        operates: visitor.operates(),
        since_problem,
        until_problem,
        asked,
    };
    Ok(if is_wrong {
        Refused(StatusCode::UNPROCESSABLE_ENTITY, list).into_response()
    } else {
        Page(list).into_response()
    })
}

fn row(asked: &Asked, AuditRow { seq, entry, .. }: AuditRow, now: Timestamp) -> Row {
    Row {
        seq,
        at: When::new(entry.at, now),
        like_actor: asked.narrowed("actor", &entry.actor),
        like_action: asked.narrowed("action", &entry.action),
        like_target: asked.narrowed("target", &entry.target),
        actor: entry.actor,
        address: entry.address,
        action: entry.action,
        target: entry.target,
        summary: summary(&entry.detail),
    }
}

/// The details in a line, cut where it is long. What an entry is about stands before what came of it.
fn summary(detail: &Value) -> String {
    let Some(members) = detail.as_object() else { return String::new() };
    let plain = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Array(list) if list.is_empty() => None,
        Value::Object(members) if members.is_empty() => None,
        other => Some(other.to_string()),
    };
    let told =
        members.iter().filter_map(|(name, value)| Some(format!("{}: {}", name.replace('_', " "), plain(value)?)));
    let told = told.collect::<Vec<_>>().join(", ");
    match told.char_indices().nth(SUMMARY_MAX) {
        Some((end, _)) => format!("{}…", &told[..end]),
        None => told,
    }
}

#[derive(Debug, Template)]
#[template(path = "dashboard/audit_entry.html")]
struct Entry {
    shell: Shell,
    seq: i64,
    at: When,
    actor: String,
    address: String,
    action: String,
    target: String,
    detail: String,
    previous_hash: String,
    hash: String,
}

/// `GET /dashboard/audit/{seq}`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Path(seq): Path<String>,
) -> Result<Response, Failure> {
    let missing = || Failure::not_found("There is no such entry in the audit log.");
    let seq: i64 = seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(missing)?;
    let range = AuditRange { organization: Some(visitor.organization), after: seq - 1, until: seq, limit: 1 };
    let row = api.engine().store().audit_rows(range).await?.into_iter().next().ok_or_else(missing)?;
    let detail = serde_json::from_str::<Value>(&row.detail).map(|detail| format!("{detail:#}"));
    Ok(Page(Entry {
        shell: visitor.shell(&api, Section::Audit, format!("Audit entry {seq}")),
        seq,
        at: When::new(row.at, api.clock().now()),
        actor: row.actor,
        address: row.address,
        action: row.action,
        target: row.target,
        detail: detail.unwrap_or(row.detail),
        previous_hash: row.prev.to_string(),
        hash: row.hash.to_string(),
    })
    .into_response())
}

/// Which rows to take out.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    chain: Which,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Which {
    #[default]
    Own,
    All,
}

/// `POST /dashboard/audit/export`: a form and no link, because the log tells of it.
pub(super) async fn export(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Export>,
    Form(Wanted { chain }): Form<Wanted>,
) -> Result<Response, Failure> {
    let chain = match chain {
        Which::All if visitor.operates() => Chain::All,
        Which::All => return Err(Failure::forbidden("Only who operates the installation may take everybody's rows.")),
        Which::Own => Chain::Own,
    };
    let export = api.engine().export_audit(&visitor, chain, 0).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"hookward-audit.jsonl\""),
    ];
    Ok((headers, audit::lines(export)).into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_told_in_a_line_of_bounded_length() {
        let detail = json!({ "version": 2, "reason": "a <b>look</b>", "not_after_ms": null, "ends_ms": {}, "ends": [1], "event": "" });
        assert_eq!(summary(&detail), "ends: [1], reason: a <b>look</b>, version: 2");
        let long = summary(&json!({ "text": "é".repeat(500) }));
        assert_eq!((long.chars().count(), long.ends_with('…')), (SUMMARY_MAX + 1, true));
        assert_eq!(summary(&json!(1)), "");
    }

    #[test]
    fn the_list_is_narrowed_by_one_word_more_and_begins_anew() {
        let asked = Asked {
            actor: "user:a&b".to_owned(),
            place: Place { before: "7".to_owned(), ..Place::default() },
            ..Asked::default()
        };
        assert_eq!(
            asked.narrowed("action", "secret.reveal"),
            "/dashboard/audit?actor=user%3Aa%26b&action=secret.reveal"
        );
        assert_eq!(asked.narrowed("actor", ""), "/dashboard/audit");
        assert_eq!(asked.address(&[("before", "9")]), "/dashboard/audit?actor=user%3Aa%26b&before=9");
    }
}
