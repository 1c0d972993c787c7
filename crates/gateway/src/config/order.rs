//! `order` of a `[[destination]]`: the key, and what becomes of those behind one that fails.

use std::fmt;

use hookward_engine::model::{OnHeadFailure, Ordering, RetrySchedule};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use toml::Spanned;

use super::{Check, problems, values};

/// What the file says.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table like { key = \"body.customer\" }")]
pub(super) struct Order {
    key: Spanned<String>,
    on_failure: Option<Spanned<OnFailure>>,
}

/// `"block"`, `"skip"`, or `{ park = 3 }`.
#[derive(Debug)]
enum OnFailure {
    Named(String),
    Park(Spanned<values::Size>),
}

impl<'de> Deserialize<'de> for OnFailure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnFailureVisitor)
    }
}

struct OnFailureVisitor;

impl<'de> Visitor<'de> for OnFailureVisitor {
    type Value = OnFailure;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"block\", \"skip\", or a table like { park = 3 }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OnFailure, E> {
        Ok(OnFailure::Named(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OnFailure, A::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Park {
            park: Spanned<values::Size>,
        }
        let Park { park } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        Ok(OnFailure::Park(park))
    }
}

/// The order of a destination of this kind with this schedule.
pub(super) fn order(
    check: &mut Check<'_>,
    order: Option<Spanned<Order>>,
    kind: &str,
    schedule: &RetrySchedule,
) -> Option<Ordering> {
    let order = order?;
    let own = match kind {
        "pull" => Some("consumers get what it is owed in order with `ordered`"),
        "report" => Some("it tells of deliveries as they end"),
        _ => None,
    };
    if let Some(own) = own {
        check.problem(&order, format!("a destination of type `{kind}` has no `order`: {own}"));
    }
    let Order { key, on_failure } = order.into_inner();
    let on_failure = on_failure.map_or(OnHeadFailure::Block, |on_failure| policy(check, on_failure, schedule));
    let key = check.expression(Some(key))?;
    Some(Ordering { key, on_failure })
}

fn policy(check: &mut Check<'_>, on_failure: Spanned<OnFailure>, schedule: &RetrySchedule) -> OnHeadFailure {
    match on_failure.get_ref() {
        OnFailure::Named(name) if name == "block" => OnHeadFailure::Block,
        OnFailure::Named(name) if name == "skip" => OnHeadFailure::Skip,
        OnFailure::Named(name) => {
            let near = problems::nearest(name, ["block", "skip", "{ park = 3 }"].into_iter());
            check.problem(&on_failure, format!("there is no `on_failure` `{}`{near}", name.escape_debug()));
            OnHeadFailure::Block
        }
        OnFailure::Park(after) => {
            let attempts = schedule.waits_s.len() + 1;
            let number = after.get_ref().0;
            if !(1..=attempts).contains(&number) {
                check.problem(after, format!("`park` is 1 to {attempts}, the attempts that `retry` gives a delivery"));
            }
            OnHeadFailure::Park { after: u32::try_from(number).unwrap_or(1) }
        }
    }
}
