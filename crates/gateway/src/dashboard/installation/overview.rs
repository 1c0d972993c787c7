//! The first page: how things are and how they went, in a time that one chooses. Numbers come from the tallies; a part of the
//! page is fetched again while it is looked at.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::clock::Timestamp;
use hookward_engine::model::{Destination, DestinationState};
use hookward_engine::store::tallies::{AtDestination, Received, Span, Step, Tallied, Window};
use hookward_engine::{NotedSecret, SecretNote};
use serde::Deserialize;

use super::super::notice::Noticed;
use super::super::page::{Failure, Page, escaped};
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words::{self, When};
use super::chart::{Band, Columns, Says};
use crate::api::Api;
use crate::api::caller::Read;

/// Lines of each list.
const LINES: usize = 6;

/// In which time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Range {
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "6h")]
    SixHours,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
    /// A day, and whatever else stands there.
    #[default]
    #[serde(rename = "24h", other)]
    Day,
}

impl Range {
    const ALL: [Self; 5] = [Self::Hour, Self::SixHours, Self::Day, Self::Week, Self::Month];

    fn code(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hour => "the last hour",
            Self::SixHours => "the last 6 hours",
            Self::Day => "the last 24 hours",
            Self::Week => "the last 7 days",
            Self::Month => "the last 30 days",
        }
    }

    /// Of which spans, how long a step is, how many steps.
    fn steps(self) -> (Span, Duration, u32) {
        const MINUTE: Duration = Duration::from_secs(60);
        const HOUR: Duration = Duration::from_secs(3600);
        match self {
            Self::Hour => (Span::Minute, MINUTE, 60),
            Self::SixHours => (Span::Minute, MINUTE.saturating_mul(5), 72),
            Self::Day => (Span::Hour, HOUR, 24),
            Self::Week => (Span::Hour, HOUR.saturating_mul(6), 28),
            Self::Month => (Span::Hour, HOUR.saturating_mul(24), 30),
        }
    }

    /// The window whose last step is the one that `now` is in.
    fn window(self, now: Timestamp) -> Window {
        let (span, step, count) = self.steps();
        let length = i64::try_from(span.length().as_millis()).expect("a span is short");
        let end = Timestamp::from_millis(now.as_millis() - now.as_millis().rem_euclid(length)).plus(span.length());
        Window { span, from: end.minus(step.saturating_mul(count)), step }
    }
}

/// What stands in the address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    range: Range,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/overview.html")]
struct Overview {
    shell: Shell,
    ranges: Vec<Choice>,
    range: &'static str,
    live: Live,
    steps: Vec<Line>,
    failing: Vec<Failing>,
    more_failing: usize,
    refusals: Vec<Refused>,
    more_refusals: usize,
    secrets: Vec<Noted>,
    more_secrets: usize,
    /// Nothing ever came: what to do first.
    is_new: bool,
    admin: String,
}

/// A time that one may choose.
#[derive(Debug)]
struct Choice {
    code: &'static str,
    is_chosen: bool,
}

/// The part that is fetched again.
#[derive(Debug, Template)]
#[template(path = "dashboard/overview_live.html")]
struct Again {
    live: Live,
}

/// What stands in it.
#[derive(Debug)]
struct Live {
    name: &'static str,
    received: String,
    duplicates: String,
    refused: String,
    delivered: String,
    failed: String,
    /// How many of all attempts succeeded; `None` when there was none.
    success: Option<String>,
    failing: usize,
    destinations: usize,
    oldest: Option<String>,
    outstanding: String,
    held: String,
    is_behind: bool,
    came: Columns,
    went: Columns,
    took: Band,
    took_top: String,
    took_typical: Option<(String, String)>,
    from: When,
    came_top: String,
    went_top: String,
}

/// A step, for who reads numbers.
#[derive(Debug)]
struct Line {
    at: When,
    accepted: String,
    duplicates: String,
    refused: String,
    delivered: String,
    failed: String,
    took: String,
}

/// A destination at which attempts fail.
#[derive(Debug)]
struct Failing {
    name: String,
    path: String,
    badge: (&'static str, &'static str),
    since: Option<When>,
    failed: String,
    reason: String,
    at: Option<When>,
}

/// A door at which requests were refused.
#[derive(Debug)]
struct Refused {
    door: String,
    /// Its page; a path has none.
    path: Option<String>,
    count: String,
    accepted: String,
}

/// A secret that somebody should look at.
#[derive(Debug)]
struct Noted {
    owner: String,
    path: String,
    version: u32,
    badge: (&'static str, &'static str),
    says: &'static str,
    at: Option<When>,
}

/// `GET /dashboard`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Query(asked): Query<Asked>,
    Query(noticed): Query<Noticed>,
) -> Result<Response, Failure> {
    let (engine, now) = (api.engine(), api.clock().now());
    let facts = Facts::find(&api, &visitor, asked.range).await?;
    let (failing, more_failing) = first(failing(&facts, now));
    let (refusals, more_refusals) = first(refusals(&facts.tallied));
    let secrets = engine.noted_secrets(visitor.organization).await?;
    let (secrets, more_secrets) = first(secrets.into_iter().map(|secret| noted(secret, now)).collect());
    let is_new = engine.sources(visitor.organization).is_empty() && facts.tallied.steps.is_empty();
    let page = Overview {
        shell: visitor.shell(&api, Section::Overview, "Overview").noticing(noticed.notice),
        ranges: Range::ALL.map(|range| Choice { code: range.code(), is_chosen: range == asked.range }).into(),
        range: asked.range.code(),
        steps: lines(&facts, now),
        live: live(&facts, now),
        failing,
        more_failing,
        refusals,
        more_refusals,
        secrets,
        more_secrets,
        is_new,
        admin: api.installation().admin.to_string(),
    };
    Ok(Page(page).into_response())
}

/// `GET /dashboard/overview`: the part of the page that changes while it is looked at.
pub(super) async fn again(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let facts = Facts::find(&api, &visitor, asked.range).await?;
    Ok(Page(Again { live: live(&facts, api.clock().now()) }).into_response())
}

/// What the page is made of.
struct Facts {
    range: Range,
    window: Window,
    tallied: Tallied,
    destinations: Vec<Destination>,
    outstanding: u64,
    held: u64,
}

impl Facts {
    async fn find(api: &Api, visitor: &Visitor<Read>, range: Range) -> Result<Self, Failure> {
        let (engine, organization) = (api.engine(), visitor.organization);
        let window = range.window(api.clock().now());
        let tallied = engine.store().tallied(organization, window).await?;
        let destinations = engine.destinations(organization);
        let owed = engine.backlog_of(&destinations).await?;
        let outstanding = owed.iter().map(|owed| owed.outstanding).sum();
        let held = owed.iter().map(|owed| owed.held).sum();
        Ok(Self { range, window, tallied, destinations, outstanding, held })
    }

    /// Every step of the window, also those in which nothing happened.
    fn steps(&self) -> Vec<(Timestamp, Step)> {
        let (_, step, count) = self.range.steps();
        let at = |place: u32| self.window.from.plus(step.saturating_mul(place));
        let found = |at: &Timestamp| self.tallied.steps.get(at).cloned().unwrap_or_default();
        (0..count).map(at).map(|at| (at, found(&at))).collect()
    }
}

fn first<T>(mut all: Vec<T>) -> (Vec<T>, usize) {
    let more = all.len().saturating_sub(LINES);
    all.truncate(LINES);
    (all, more)
}

fn live(facts: &Facts, now: Timestamp) -> Live {
    let steps = facts.steps();
    let sum = |of: fn(&Step) -> u64| steps.iter().map(|(_, step)| of(step)).sum::<u64>();
    let (succeeded, failed) = (sum(|step| step.attempted.succeeded), sum(|step| step.attempted.failed));
    let mut all = hookward_engine::tally::Latencies::default();
    steps.iter().for_each(|(_, step)| all.merge(&step.latencies));
    let typical = all.percentile(50).zip(all.percentile(95));
    let came = steps.iter().map(|(at, step)| {
        let Received { accepted, duplicates, refused } = step.received;
        let what = format!("{accepted} accepted, {duplicates} repeated, {refused} refused");
        (says(*at, what), vec![("accepted", accepted), ("repeated", duplicates), ("refused", refused)])
    });
    let went = steps.iter().map(|(at, step)| {
        let (succeeded, failed) = (step.attempted.succeeded, step.attempted.failed);
        let what = format!("{succeeded} delivered, {failed} failed");
        (says(*at, what), vec![("delivered", succeeded), ("failed", failed)])
    });
    let took = steps.iter().map(|(at, step)| {
        let band = step.latencies.percentile(50).zip(step.latencies.percentile(95));
        let what = band.map_or_else(|| "no request".to_owned(), |(half, most)| between(half, most));
        (says(*at, what), band.map(|(half, most)| (millis(half), millis(most))))
    });
    let (came, went, took) = (Columns::new(came.collect()), Columns::new(went.collect()), Band::new(took.collect()));
    Live {
        name: facts.range.name(),
        received: words::count(sum(|step| step.received.accepted)),
        duplicates: words::count(sum(|step| step.received.duplicates)),
        refused: words::count(sum(|step| step.received.refused)),
        delivered: words::count(succeeded),
        failed: words::count(failed),
        success: (succeeded + failed > 0).then(|| percent(succeeded, succeeded + failed)),
        failing: facts.destinations.iter().filter(|destination| badge(destination).0 == "bad").count(),
        destinations: facts.destinations.len(),
        oldest: facts.tallied.oldest_outstanding.map(|at| words::lapse(now.since(at))),
        outstanding: words::count(facts.outstanding),
        held: words::count(facts.held),
        is_behind: facts.tallied.is_behind,
        came_top: words::count(came.top),
        went_top: words::count(went.top),
        took_top: words::lapse(Duration::from_millis(took.top)),
        took_typical: typical.map(|(half, most)| (words::lapse(half), words::lapse(most))),
        came,
        went,
        took,
        from: When::new(facts.window.from, now),
    }
}

fn between(half: Duration, most: Duration) -> String {
    format!("half within {}, 95 % within {}", words::lapse(half), words::lapse(most))
}

fn millis(lapse: Duration) -> u64 {
    u64::try_from(lapse.as_millis()).unwrap_or(u64::MAX)
}

/// How many of all, rounded down so that only all are 100 %.
fn percent(some: u64, all: u64) -> String {
    let tenths = u128::from(some) * 1000 / u128::from(all.max(1));
    match tenths % 10 {
        0 => format!("{} %", tenths / 10),
        rest => format!("{}.{rest} %", tenths / 10),
    }
}

/// What a chart says of a step.
fn says(at: Timestamp, what: String) -> Says {
    let begins = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
    Says { at: begins.strftime("%a %-d %b, %H:%M UTC").to_string(), machine: crate::api::time(at), what }
}

/// The steps in which something happened, newest first.
fn lines(facts: &Facts, now: Timestamp) -> Vec<Line> {
    let steps = facts.tallied.steps.iter().rev();
    let line = |(at, step): (&Timestamp, &Step)| Line {
        at: When::new(*at, now),
        accepted: words::count(step.received.accepted),
        duplicates: words::count(step.received.duplicates),
        refused: words::count(step.received.refused),
        delivered: words::count(step.attempted.succeeded),
        failed: words::count(step.attempted.failed),
        took: match step.latencies.percentile(50).zip(step.latencies.percentile(95)) {
            Some((half, most)) => between(half, most),
            None => String::new(),
        },
    };
    steps.map(line).collect()
}

/// A destination's state: icon and word.
fn badge(destination: &Destination) -> (&'static str, &'static str) {
    match (&destination.state, &destination.condition) {
        (DestinationState::Disabled { .. }, _) => ("bad", "disabled"),
        (DestinationState::Paused, _) => ("held", "paused"),
        (DestinationState::Active, condition) if condition.open.is_some() => ("bad", "left alone"),
        (DestinationState::Active, condition) if condition.failing_since.is_some() => ("bad", "failing"),
        (DestinationState::Active, condition) if condition.recovering.is_some() => ("wait", "recovering"),
        (DestinationState::Active, _) => ("ok", "well again"),
    }
}

/// Destinations that fail or failed, those that do now and then those that did most before the others.
fn failing(facts: &Facts, now: Timestamp) -> Vec<Failing> {
    let none = AtDestination::default();
    let mut found: Vec<_> = facts
        .destinations
        .iter()
        .map(|destination| (destination, facts.tallied.destinations.get(&destination.id).unwrap_or(&none)))
        .filter(|(destination, counted)| badge(destination).0 == "bad" || counted.attempted.failed > 0)
        .collect();
    found.sort_by_key(|(destination, counted)| (badge(destination).0 != "bad", u64::MAX - counted.attempted.failed));
    let told = found.into_iter().map(|(destination, counted)| Failing {
        name: destination.name.clone(),
        path: format!("/dashboard/destinations/{}", escaped(&destination.name)),
        badge: badge(destination),
        since: destination.condition.failing_since.map(|at| When::new(at, now)),
        failed: words::count(counted.attempted.failed),
        reason: match (&destination.state, &counted.failure) {
            (_, Some(failure)) => failure.reason.clone(),
            (DestinationState::Disabled { reason }, None) => reason.clone(),
            (_, None) => String::new(),
        },
        at: counted.failure.as_ref().map(|failure| When::new(failure.at, now)),
    });
    told.collect()
}

/// Doors at which requests were refused, most first.
fn refusals(tallied: &Tallied) -> Vec<Refused> {
    let mut found: Vec<_> = tallied.doors.iter().filter(|(_, received)| received.refused > 0).collect();
    found.sort_by_key(|(_, received)| std::cmp::Reverse(received.refused));
    let told = found.into_iter().map(|(door, received)| Refused {
        path: (!door.starts_with('/')).then(|| format!("/dashboard/sources/{}", escaped(door))),
        door: door.clone(),
        count: words::count(received.refused),
        accepted: words::count(received.accepted),
    });
    told.collect()
}

fn noted(secret: NotedSecret, now: Timestamp) -> Noted {
    let NotedSecret { owner, version, note } = secret;
    let (kind, name) = owner.split_once(':').unwrap_or(("source", &owner));
    let path = format!("/dashboard/{kind}s/{}", escaped(name));
    let (badge, says, at) = match note {
        SecretNote::InGrace { until, is_replaced: true } => {
            (("wait", "in grace"), "the newer one is used; it ends", until)
        }
        SecretNote::InGrace { until, is_replaced: false } => {
            (("bad", "in grace"), "nobody uses the newer one yet, and it ends", until)
        }
        SecretNote::Unused { since } => (("info", "unused"), "it is in force, and was last used or set", since),
    };
    Noted { path, version, badge, says, at: Some(When::new(at, now)), owner }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_is_the_one_that_is_now() {
        let now = Timestamp::from_millis(1_800_000_123_456);
        for range in Range::ALL {
            let (span, step, count) = range.steps();
            let window = range.window(now);
            let end = window.from.plus(step.saturating_mul(count));
            assert!(window.from <= now && now < end && end.minus(span.length()) <= now, "{range:?}");
            assert!(now.minus(span.kept()) <= window.from, "{range:?}: it is kept that long");
            assert_eq!(step.as_millis() % span.length().as_millis(), 0, "{range:?}");
            assert_eq!(window.from.as_millis() % 60_000, 0, "{range:?}");
        }
    }

    #[test]
    fn only_all_are_a_hundred_percent() {
        let told = [(0, 7), (1, 3), (999_999, 1_000_000), (5, 5)].map(|(some, all)| percent(some, all));
        assert_eq!(told, ["0 %", "33.3 %", "99.9 %", "100 %"]);
    }
}
