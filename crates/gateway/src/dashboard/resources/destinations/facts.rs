//! What a destination hears and how it is tried, setting by setting, in words.

use std::time::Duration;

use hookward_engine::model::{Destination, DestinationKind, OnHeadFailure, Rate};

use super::super::super::words;

/// A name, and what stands under it.
pub(super) type Fact = (&'static str, Vec<String>);

/// All of them.
pub(super) fn facts(destination: &Destination) -> Vec<Fact> {
    let spec = &destination.spec;
    let or_all = |list: &[String]| if list.is_empty() { vec!["all".to_owned()] } else { list.to_vec() };
    let mut facts = vec![("Hears sources", or_all(&spec.sources)), ("Event types", or_all(&spec.event_types))];
    let rules = &spec.rules;
    for (name, rule) in [("Filter", &rules.filter), ("Once per", &rules.once_per), ("Latest wins", &rules.latest_wins)]
    {
        facts.extend(rule.clone().map(|rule| (name, vec![rule])));
    }
    if let Some(order) = &spec.order {
        let failure = match order.on_failure {
            OnHeadFailure::Block => "those behind a failure wait".to_owned(),
            OnHeadFailure::Skip => "an exhausted one is skipped".to_owned(),
            OnHeadFailure::Park { after } => format!("parked after {after} failures"),
        };
        facts.push(("In order by", vec![order.key.clone(), failure]));
    }
    for signing in spec.signing.iter().filter(|signing| !signing.parameters.is_empty()) {
        facts.push(("Said to its scheme", words::pairs(&signing.parameters)));
    }
    facts.extend(of_kind(&spec.kind));
    if !matches!(spec.kind, DestinationKind::Pull(_)) {
        facts.push(("At once", vec![format!("{} attempts", words::count(spec.concurrency.into()))]));
        let connect = spec.limits.connect.map(|limit| format!("{} to connect", words::lapse(limit)));
        let first = spec.limits.first_byte.map(|limit| format!("{} to the first byte", words::lapse(limit)));
        facts.push(("Deadline", [Some(words::lapse(spec.timeout)), connect, first].into_iter().flatten().collect()));
    }
    facts.extend(spec.limits.rate.map(|limit| ("Rate", vec![rate(limit)])));
    let never = || "never".to_owned();
    facts.push((
        "Left alone",
        vec![spec.health.breaker.map_or_else(never, |breaker| {
            format!(
                "for {} when {} % of at least {} attempts in {} failed",
                words::lapse(breaker.open_for),
                breaker.failure_percent,
                breaker.min_attempts,
                words::lapse(breaker.window)
            )
        })],
    ));
    let after = |after: Duration| format!("after {} of nothing but failures", words::lapse(after));
    facts.push(("Disabled", vec![spec.health.disable_after.map_or_else(never, after)]));
    facts
}

fn rate(rate: Rate) -> String {
    let (requests, burst) = (words::count(rate.requests.into()), words::count(rate.burst.into()));
    format!("{requests} in {}, at most {burst} at once", words::lapse(rate.per))
}

/// What only one kind has. Values of headers and variables may be credentials: only their names.
fn of_kind(kind: &DestinationKind) -> Vec<Fact> {
    let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let all = match kind {
        DestinationKind::Http(http) => vec![
            ("Headers passed on", http.forward_headers.clone()),
            ("Headers set", names(&http.set_headers)),
            ("May reach", http.allow_addresses.iter().map(ToString::to_string).collect()),
        ],
        DestinationKind::Command(command) => vec![
            ("Directory", command.directory.iter().cloned().collect()),
            ("Variables", names(&command.environment)),
            ("Checkout", command.checkout.iter().map(|_| "the event's commit".to_owned()).collect()),
        ],
        DestinationKind::Report(report) => vec![
            ("Commit status", report.status.iter().cloned().collect()),
            ("Check run", report.check_run.iter().cloned().collect()),
            ("Comment", report.comment.then(|| "kept up to date".to_owned()).into_iter().collect()),
        ],
        DestinationKind::Pull(pull) => vec![(
            "Order",
            vec![match pull.ordered {
                true => "nothing is handed out beside an earlier event".to_owned(),
                false => "none".to_owned(),
            }],
        )],
        DestinationKind::Slack(slack) => vec![("Template", vec![slack.template.clone()])],
    };
    all.into_iter().filter(|(_, values)| !values.is_empty()).collect()
}
