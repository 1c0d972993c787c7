//! Which of the destinations that hear an event are owed it, and under which keys: their expressions, evaluated before
//! the event is committed. Owns when and where expressions run; what they mean is `expression`'s, and what a key does is
//! the store's. Without an expression nothing here costs anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::dedup::sha256;
use crate::expression::{ALLOWANCE, Expression, Failure, InvalidExpression, SMALL_ALLOWANCE, Subject, View};
use crate::ids::SourceId;
use crate::model::{Ordering, Rules};

/// A body up to this many bytes is read on its caller's thread.
const SMALL_BODY: usize = 16 << 10;

/// How many evaluations that take long run at once; the others wait for them, and no thread with them.
const HEAVY_MAX: usize = 2;

/// What a failure of a source's filter is told of.
pub(crate) const SOURCES_FILTER: &str = "the source's filter";

/// An expression of what is declared, or why the text that is kept for it is none.
type Rule = Result<Expression, InvalidExpression>;

/// The expressions of a source or a destination, ready to be evaluated.
#[derive(Debug, Default)]
pub(crate) struct LiveRules {
    filter: Option<Rule>,
    once_per: Option<Rule>,
    latest_wins: Option<Rule>,
    order: Option<OrderRule>,
}

/// The expression of an order key, with its text: keys of two expressions are never the same.
#[derive(Debug)]
struct OrderRule {
    text: String,
    rule: Rule,
}

impl LiveRules {
    /// A destination's.
    pub(crate) fn new(rules: &Rules, order: Option<&Ordering>) -> Self {
        let compile = |text: &Option<String>| text.as_deref().map(Expression::compile);
        let order = order.map(|order| OrderRule { text: order.key.clone(), rule: Expression::compile(&order.key) });
        Self {
            filter: compile(&rules.filter),
            once_per: compile(&rules.once_per),
            latest_wins: compile(&rules.latest_wins),
            order,
        }
    }

    /// A source's.
    pub(crate) fn of_source(filter: Option<&str>) -> Self {
        Self { filter: filter.map(Expression::compile), ..Self::default() }
    }

    /// Whether there is nothing to evaluate.
    pub(crate) fn is_empty(&self) -> bool {
        self.filter.is_none() && self.once_per.is_none() && self.latest_wins.is_none() && self.order.is_none()
    }
}

/// What a destination's expressions come to for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is owed, under these keys.
    Owed { once: Option<[u8; 32]>, latest: Option<[u8; 32]>, order: Option<[u8; 32]> },
    /// A filter does not let it through.
    Unwanted,
    /// An expression failed, and how.
    Failed(String),
}

/// Which of the rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// All of them.
    Everything,
    /// The order key alone: somebody said that the destination is owed the event.
    Order,
}

/// What is to be decided: the source's rules and those of each destination, in order.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) subject: Subject,
    pub(crate) source: SourceId,
    pub(crate) asks: Asks,
    pub(crate) source_rules: Arc<LiveRules>,
    pub(crate) destinations: Vec<Arc<LiveRules>>,
}

/// Evaluations that take long, and counts of those that failed.
#[derive(Debug)]
pub(crate) struct Evaluator {
    heavy: Semaphore,
    failed: Mutex<BTreeMap<String, u64>>,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self { heavy: Semaphore::new(HEAVY_MAX), failed: Mutex::default() }
    }
}

impl Evaluator {
    /// A decision for each destination. What takes little is done at once; anything else on a thread that may block.
    pub(crate) async fn decide(&self, question: Question) -> Vec<Decision> {
        if question.subject.body.len() <= SMALL_BODY
            && let Some(decisions) = question.decide(SMALL_ALLOWANCE, WhenTooMuch::GiveUp)
        {
            return decisions;
        }
        let count = question.destinations.len();
        let _turn = self.heavy.acquire().await.expect("the semaphore is never closed");
        let heavy = tokio::task::spawn_blocking(move || question.decide(ALLOWANCE, WhenTooMuch::Fail));
        let broke_off = || vec![Decision::Failed("the evaluation broke off".to_owned()); count];
        heavy.await.ok().flatten().unwrap_or_else(broke_off)
    }

    /// An expression of this destination failed.
    pub(crate) fn count_failed(&self, destination: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed.entry(destination.to_owned()).or_default() += 1;
    }

    /// How many failed, by destination.
    pub(crate) fn failed(&self) -> BTreeMap<String, u64> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What an evaluation does whose allowance is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhenTooMuch {
    /// There is another try with more.
    GiveUp,
    /// It has failed.
    Fail,
}

/// Why a destination is not owed an event.
enum Not {
    Wanted,
    Decided(Failure),
}

impl Question {
    /// `None` when an allowance was not enough and there is another try.
    fn decide(&self, allowance: u64, when: WhenTooMuch) -> Option<Vec<Decision>> {
        let mut view = self.subject.view();
        let mut look = Look { view: &mut view, allowance, source: self.source, asks: self.asks };
        let settle = |decided: Result<Decision, Not>| match decided {
            Ok(decision) => Some(decision),
            Err(Not::Wanted) => Some(Decision::Unwanted),
            Err(Not::Decided(Failure::TooMuch(_))) if when == WhenTooMuch::GiveUp => None,
            Err(Not::Decided(failure)) => Some(Decision::Failed(failure.to_string())),
        };
        let filter = self.source_rules.filter.as_ref().filter(|_| self.asks == Asks::Everything);
        let passed = look.passes(filter, SOURCES_FILTER);
        match settle(passed.map(|()| Decision::Owed { once: None, latest: None, order: None }))? {
            Decision::Owed { .. } => {}
            other => return Some(vec![other; self.destinations.len()]),
        }
        self.destinations.iter().map(|rules| settle(look.decide(rules))).collect()
    }
}

/// Evaluations over one event.
struct Look<'l, 's> {
    view: &'l mut View<'s>,
    allowance: u64,
    source: SourceId,
    asks: Asks,
}

impl Look<'_, '_> {
    fn decide(&mut self, rules: &LiveRules) -> Result<Decision, Not> {
        let order = rules.order.as_ref();
        let order = |look: &mut Self| match look.key(order.map(|order| &order.rule), "the `key` of `order`")? {
            // The receiver knows one stream of events, whatever their sources.
            Some(text) => Ok(order.map(|order| sha256(&[order.text.as_bytes(), b"\0", text.as_bytes()].concat()))),
            None => Ok(None),
        };
        if self.asks == Asks::Order {
            return Ok(Decision::Owed { once: None, latest: None, order: order(self)? });
        }
        self.passes(rules.filter.as_ref(), "`filter`")?;
        let of_source = |source: SourceId, text: String| sha256(&[source.as_bytes(), text.as_bytes()].concat());
        let once = self.key(rules.once_per.as_ref(), "`once_per`")?.map(|text| of_source(self.source, text));
        let latest = self.key(rules.latest_wins.as_ref(), "`latest_wins`")?.map(|text| of_source(self.source, text));
        Ok(Decision::Owed { once, latest, order: order(self)? })
    }

    fn passes(&mut self, rule: Option<&Rule>, what: &str) -> Result<(), Not> {
        match self.value(rule, what)? {
            None | Some(Value::Bool(true)) => Ok(()),
            Some(Value::Bool(false)) => Err(Not::Wanted),
            Some(other) => Err(failed(what, format!("its value is {}, not true or false", kind(&other)))),
        }
    }

    /// A key's text: equal for equal values of one type, and only for these.
    fn key(&mut self, rule: Option<&Rule>, what: &str) -> Result<Option<String>, Not> {
        let Some(value) = self.value(rule, what)? else { return Ok(None) };
        Ok(Some(match &value {
            Value::Null => return Ok(None),
            Value::Bool(own) => format!("b{own}"),
            Value::String(own) => format!("s{own}"),
            // 7 and 7.0 are one number.
            Value::Number(own) => match own.as_f64().filter(|float| own.is_f64() && float.fract() == 0.0) {
                Some(whole) => format!("n{whole:.0}"),
                None => format!("n{own}"),
            },
            other => return Err(failed(what, format!("its value is {}, which is no key", kind(other)))),
        }))
    }

    fn value(&mut self, rule: Option<&Rule>, what: &str) -> Result<Option<Value>, Not> {
        let Some(rule) = rule else { return Ok(None) };
        let rule = rule.as_ref().map_err(|error| failed(what, format!("it is not an expression: {error}")))?;
        let value = rule.evaluate(self.view, self.allowance);
        value.map(Some).map_err(|failure| match failure {
            Failure::Failed(detail) => failed(what, detail),
            Failure::TooMuch(detail) => Not::Decided(Failure::TooMuch(format!("{what}: {detail}"))),
        })
    }
}

fn failed(what: &str, detail: impl std::fmt::Display) -> Not {
    Not::Decided(Failure::Failed(format!("{what}: {detail}")))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// What the audit log says of failures: as many as an entry holds.
pub(crate) fn failures(failed: &[(String, String)]) -> Value {
    const LISTED_MAX: usize = 10;
    let listed = failed.iter().take(LISTED_MAX);
    let listed: Vec<_> = listed.map(|(name, why)| json!({ "destination": name, "detail": why })).collect();
    json!({ "failed": listed, "count": failed.len() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn rules(filter: &str, once_per: &str, latest_wins: &str) -> Arc<LiveRules> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let rules = Rules { filter: text(filter), once_per: text(once_per), latest_wins: text(latest_wins) };
        Arc::new(LiveRules::new(&rules, None))
    }

    fn question(body: &str, source_filter: Option<&str>, destinations: Vec<Arc<LiveRules>>) -> Question {
        Question {
            subject: Subject {
                event: "push".to_owned(),
                source: "github".to_owned(),
                headers: vec![],
                body: Bytes::copy_from_slice(body.as_bytes()),
            },
            source: SourceId::from_bytes([1; 16]),
            asks: Asks::Everything,
            source_rules: Arc::new(LiveRules::of_source(source_filter)),
            destinations,
        }
    }

    async fn decide(body: &str, source_filter: Option<&str>, rules: Arc<LiveRules>) -> Decision {
        Evaluator::default().decide(question(body, source_filter, vec![rules])).await.remove(0)
    }

    async fn key(body: &str, once_per: &str) -> Option<[u8; 32]> {
        match decide(body, None, rules("", once_per, "")).await {
            Decision::Owed { once, latest: None, order: None } => once,
            other => panic!("{body} {once_per}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_filter_of_either_side_decides_and_a_failure_says_whose() {
        let body = r#"{"n":1}"#;
        let owed = Decision::Owed { once: None, latest: None, order: None };
        assert_eq!(decide(body, None, rules("", "", "")).await, owed);
        assert_eq!(decide(body, Some("event == 'push'"), rules("body.n == 1", "", "")).await, owed);
        assert_eq!(decide(body, Some("event == 'pull'"), rules("body.n == 1", "", "")).await, Decision::Unwanted);
        assert_eq!(decide(body, Some("event == 'push'"), rules("body.n == 2", "", "")).await, Decision::Unwanted);
        for (source, filter, once, latest, expected) in [
            (Some("body.x"), "true", "", "", "the source's filter: No such key: x"),
            (None, "body.x == 1", "", "", "`filter`: No such key: x"),
            (None, "body.n", "", "", "`filter`: its value is a number, not true or false"),
            (None, "", "body.x", "", "`once_per`: No such key: x"),
            (None, "", "body", "", "`once_per`: its value is a map, which is no key"),
            (None, "", "", "[1]", "`latest_wins`: its value is a list, which is no key"),
            (None, "not CEL at all", "", "", "`filter`: it is not an expression"),
        ] {
            let Decision::Failed(detail) = decide(body, source, rules(filter, once, latest)).await else {
                panic!("{filter} did not fail")
            };
            assert!(detail.starts_with(expected), "{detail}");
        }
    }

    #[tokio::test]
    async fn keys_are_equal_for_equal_values_of_one_type() {
        assert_eq!(key("{\"k\":null}", "body.k").await, None);
        assert_eq!(key("{\"k\":7}", "body.k").await, key("{\"k\":7.0}", "body.k").await);
        assert_eq!(key("{\"k\":\"a\"}", "body.k").await, key("{}", "'a'").await);
        let different = [
            key("{}", "7").await,
            key("{}", "7.5").await,
            key("{}", "-7").await,
            key("{}", "'7'").await,
            key("{}", "true").await,
            key("{}", "'true'").await,
            key("{}", "''").await,
            key("{}", "18446744073709551615u").await,
        ];
        for (n, one) in different.iter().enumerate() {
            assert!(one.is_some());
            assert!(!different[n + 1..].contains(one), "{n}");
        }
    }

    #[tokio::test]
    async fn an_order_key_is_of_its_expression_and_of_no_source() {
        let order = async |key: &str, body: &str, source: u8, asks: Asks| {
            let ordering = Ordering { key: key.to_owned(), on_failure: crate::model::OnHeadFailure::Block };
            let rules = Rules { filter: Some("body.wanted".to_owned()), ..Rules::default() };
            let rules = Arc::new(LiveRules::new(&rules, Some(&ordering)));
            let source = SourceId::from_bytes([source; 16]);
            let question = Question { source, asks, ..question(body, Some("body.wanted"), vec![rules]) };
            Evaluator::default().decide(question).await.remove(0)
        };
        let of = async |key: &str, body: &str, source: u8| match order(key, body, source, Asks::Everything).await {
            Decision::Owed { once: None, latest: None, order } => order,
            other => panic!("{key}: {other:?}"),
        };
        let body = r#"{"wanted":true,"a":"x","b":"x","none":null}"#;
        assert!(of("body.a", body, 1).await.is_some());
        assert_eq!(of("body.a", body, 1).await, of("body.a", body, 2).await);
        assert_ne!(of("body.a", body, 1).await, of("body.b", body, 1).await);
        assert_eq!(of("body.none", body, 1).await, None);
        let failed = order("body.c", body, 1, Asks::Everything).await;
        assert_eq!(failed, Decision::Failed("the `key` of `order`: No such key: c".to_owned()));
        // Whoever is owed the event in any case is asked for nothing else.
        let unwanted = r#"{"wanted":false,"a":"x"}"#;
        assert_eq!(order("body.a", unwanted, 1, Asks::Everything).await, Decision::Unwanted);
        let named = order("body.a", unwanted, 1, Asks::Order).await;
        assert_eq!(named, Decision::Owed { once: None, latest: None, order: of("body.a", body, 1).await });
    }

    #[tokio::test]
    async fn what_takes_long_is_decided_all_the_same_and_what_takes_too_long_has_failed() {
        let body = format!("{{\"a\":[{}2]}}", "1,".repeat(20_000));
        let found = decide(&body, None, rules("body.a.exists(x, x == 2)", "", "")).await;
        assert_eq!(found, Decision::Owed { once: None, latest: None, order: None });
        let square = decide(&body, None, rules("body.a.exists(x, body.a.exists(y, y == 3))", "", "")).await;
        let Decision::Failed(detail) = square else { panic!("{square:?}") };
        assert!(detail.contains("allowance of 2000000 steps"), "{detail}");
    }
}
