//! What the statements that run all the time, or over everything, walk in either database.

use super::activity::{self, Walk};
use super::feed::{self, tally};
use super::look::Selection;
use super::{audit, claim, commit, conditions, deliveries, erasure, events, jobs, order, pull, retention};
use crate::clock::Timestamp;
use crate::ids::{DestinationId, EventId, OrganizationId, SourceId};
use crate::store::postgres::plans::{Plans, walks};
use crate::store::sqlite::migrate::tests::plan;
use crate::store::{ActivityFilter, AuditFilter, DeliveryFilter, EventFilter, FeedFilter};

#[test]
fn what_runs_all_the_time_scans_no_table() {
    for sql in [commit::FORGET, deliveries::BACKLOG] {
        let plan = plan(sql);
        let cheap = |step: &str| {
            ["CONSTANT ROW", "deliveries_outstanding", "COVERING INDEX deliveries_ordered"]
                .iter()
                .any(|cheap| step.contains(cheap))
        };
        assert!(!plan.iter().any(|step| step.starts_with("SCAN") && !cheap(step)), "{plan:?}");
    }
}

#[test]
fn a_claim_walks_what_is_outstanding_in_the_order_due() {
    let plan = plan(claim::DUE);
    let walk = "deliveries_outstanding (destination_id=? AND due_at_ms>? AND due_at_ms<?)";
    assert_eq!(plan, [format!("SEARCH deliveries USING INDEX {walk}")]);
}

#[test]
fn consumers_walk_what_is_outstanding_in_the_order_of_commits() {
    let plan = plan(pull::IN_ORDER);
    assert_eq!(plan, ["SEARCH deliveries USING INDEX deliveries_pulled (destination_id=? AND rowid>?)"]);
}

/// Every statement that reads or changes a large table by a condition of its own.
fn large() -> Vec<String> {
    let of_deliveries = [claim::DUE, claim::PROBE, pull::IN_ORDER, order::HEAD, order::NEXT, deliveries::BACKLOG];
    let of_destinations = [
        conditions::HOLD,
        conditions::LET_GO,
        conditions::RELEASE,
        conditions::SPREAD,
        conditions::DROP,
        conditions::OWED,
    ];
    let of_events = [retention::OLDEST, retention::MAY_STRIP, retention::ROWS_OVER, erasure::OLDEST, commit::FORGET];
    let standing = activity::standing_of_postgres();
    let of_feeds = [tally::EVENTS, tally::ATTEMPTS, tally::OLDEST, standing.as_str(), activity::OF_ATTEMPT];
    let fixed = [&of_deliveries[..], &of_destinations, &of_events, &of_feeds].concat();
    let mut all: Vec<String> = fixed.into_iter().map(str::to_owned).collect();
    for bits in 0..24 {
        let is = |bit: u32| bits & (1 << bit) != 0;
        let organization = if is(0) { OrganizationId::DEFAULT } else { OrganizationId::from_bytes([1; 16]) };
        let (source, destination) = (SourceId::from_bytes([1; 16]), DestinationId::from_bytes([1; 16]));
        let state = [None, Some("pending"), Some("leased"), Some("delivered"), Some("held"), Some("waiting")];
        let state = state[bits / 4].map(str::to_owned);
        let (source, destination) = (is(1).then_some(source), is(2).then_some(destination));
        let event_type = is(2).then(String::new);
        let filter = EventFilter {
            source,
            event_type: event_type.clone(),
            delivery_id: is(3).then(String::new),
            duplicate: is(4).then_some(true),
            ..EventFilter::default()
        };
        all.extend(events::selection(organization, &filter).all());
        let event = is(1).then(|| EventId::from_bytes([1; 16]));
        let filter = DeliveryFilter { event, destination, state: state.clone(), ..DeliveryFilter::default() };
        all.extend(deliveries::selection(organization, &filter).all());
        let filter = FeedFilter { source, event_type: event_type.clone(), destination, from: None };
        all.extend([feed::event_selection(organization, &filter), feed::attempt_selection(&filter)]);
        all.push(jobs::selection(organization, is(1)));
        let filter = ActivityFilter { source, event_type, destination, state, ..ActivityFilter::default() };
        all.push(activity::selection(Walk::of(organization, &filter), organization, &filter));
    }
    all
}

/// What has a time is read between two positions, and an event's deliveries by their event, on tables that nobody measured.
fn bounded_by_places(plans: &Plans) {
    let (from, until) = (Some(Timestamp::from_millis(1)), Some(Timestamp::from_millis(2)));
    let acts = AuditFilter { actor: Some(String::new()), since: from, until, ..AuditFilter::default() };
    let selections = [OrganizationId::DEFAULT, OrganizationId::from_bytes([1; 16])].into_iter().flat_map(|of| {
        [
            events::selection(of, &EventFilter { from, until, duplicate: Some(false), ..EventFilter::default() }),
            deliveries::selection(of, &DeliveryFilter { from, until, ..DeliveryFilter::default() }),
            audit::selection(of, &acts),
        ]
    });
    let statements: Vec<String> = selections.flat_map(Selection::all).collect();
    assert_eq!(statements.len(), 8);
    for (sql, plan) in statements.iter().zip(plans.of(&statements)) {
        // Days beyond the positions are left out before their indexes are asked.
        let is_bounded = |step: &String| {
            let ends = ["(seq > ", "(seq < "].iter().all(|end| step.replace("d.", "").contains(end));
            step.contains("Subplans Removed") || step.contains("Index Cond") && ends
        };
        assert!(plan.iter().any(is_bounded), "{sql}: {plan:#?}");
    }
    let both = [activity::standing_of_postgres(), activity::STANDING.to_owned()];
    let [standing, trap] = &plans.of(&both)[..] else { panic!("there are two plans") };
    let is_backward = |step: &String| step.contains("Backward using deliveries");
    assert!(!standing.iter().any(is_backward), "{standing:#?}");
    assert!(trap.iter().any(is_backward), "a walk from the newest on is seen: {trap:#?}");
}

#[test]
fn no_statement_walks_a_large_table_of_postgresql() {
    let Some(plans) = Plans::open() else { return };
    let statements = large();
    for (sql, plan) in statements.iter().zip(plans.of(&statements)) {
        assert!(!plan.is_empty() && !walks(&plan), "{sql}: {plan:#?}");
    }
    bounded_by_places(&plans);
    let [due, whole] = &plans.of(&[claim::DUE.to_owned(), "select * from events where method = 'GET'".to_owned()])[..]
    else {
        panic!("there are two plans")
    };
    assert!(due.iter().any(|step| step.contains("deliveries_outstanding_due on deliveries_outstanding")), "{due:#?}");
    assert!(!due.iter().any(|step| step.contains("deliveries_rest")), "what is done is not looked at: {due:#?}");
    assert!(walks(whole), "a walk is seen: {whole:#?}");
}
