//! Days of the shared store: made ahead, gone on to when they come, read across, and dropped. Days are moved by replacing what the
//! database takes for its time.

use hookward_engine::clock::Timestamp;
use hookward_engine::model::*;
use hookward_engine::store::tallies::{Span, Window};
use hookward_engine::store::*;

use super::postgres::{self, Database};
use super::support::*;

/// The large tables that are split, and the column by which they are.
const SPLIT: [(&str, &str); 6] = [
    ("events", "seq"),
    ("bodies", "event_seq"),
    ("passed_over", "event_seq"),
    ("deliveries_rest", "seq"),
    ("attempts", "delivery_seq"),
    ("outputs", "delivery_seq"),
];

/// The day that the database was opened on.
fn day(database: &Database) -> i64 {
    database.query("select now_ms() / 86400000 - 18262")[0].parse().unwrap()
}

/// Lets the database take this for its day.
fn set_day(database: &Database, day: i64) {
    let now_ms = (day + 18_262) * 86_400_000 + 43_200_000;
    database.query(&format!(
        "create or replace function now_ms() returns bigint language sql stable as 'select {now_ms}::bigint'"
    ));
}

fn partitions(database: &Database, table: &str) -> Vec<String> {
    database.query(&format!(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = '{table}'::regclass order by 1"
    ))
}

/// The days in whose ranges the events' places are, oldest first.
fn days_of_events(database: &Database) -> Vec<i64> {
    database.query("select seq >> 38 from events order by seq").iter().map(|day| day.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_room_ahead_and_places_go_on_in_the_days_own() {
    let Some((store, database)) = postgres::open() else { return };
    declare(&store, 1).await;
    let today = day(&database);
    for (table, _) in SPLIT {
        let mut expected: Vec<String> = (today..=today + 3).map(|day| format!("{table}_day_{day}")).collect();
        expected.insert(0, format!("{table}_before"));
        assert_eq!(partitions(&database, table), expected);
    }
    store.commit(new_event(1)).await.unwrap();
    set_day(&database, today + 1);
    store.make_room().await.unwrap();
    assert_eq!(partitions(&database, "events").len(), 6);
    store.commit(new_event(2)).await.unwrap();
    // A clock that goes back takes no place back.
    set_day(&database, today - 5);
    store.make_room().await.unwrap();
    store.commit(new_event(3)).await.unwrap();
    // Nobody looked for longer than there is room: places go on where they are.
    set_day(&database, today + 20);
    store.commit(owing(new_event(4), 4, 1)).await.unwrap();
    store.make_room().await.unwrap();
    store.commit(owing(new_event(5), 5, 1)).await.unwrap();
    assert_eq!(days_of_events(&database), [today, today + 1, today + 1, today + 1, today + 20]);
    let newest_first = [5, 4, 3, 2, 1].map(event_id);
    assert_eq!(listed(&store, EventFilter::default()).await, newest_first);
    let claimed = store.claim(request(at(10), &[(1, 9)])).await.unwrap();
    let settled = claimed.iter().map(|one| settlement(&one.claim, at(10), Next::Delivered)).collect();
    store.settle(settled).await.unwrap();
    let found = database.query("select distinct delivery_seq >> 38 from attempts order by 1");
    assert_eq!(found, [(today + 1).to_string(), (today + 20).to_string()]);
    let moved = database.query("select (select count(*) from deliveries_outstanding), count(*) from deliveries_rest");
    assert_eq!(moved, ["0|2"], "what is done leaves the small table");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_make_room_at_once_make_it_once() {
    let Some((store, database)) = postgres::open() else { return };
    let today = day(&database);
    let nodes: Vec<Shared> = (0..4).map(|_| database.open()).chain([store]).collect();
    set_day(&database, today + 2);
    let mut tasks = tokio::task::JoinSet::new();
    for node in &nodes {
        let node = Shared::clone(node);
        tasks.spawn(async move { node.make_room().await });
    }
    tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    for (table, _) in SPLIT {
        assert_eq!(partitions(&database, table).len(), 1 + 6, "{table}");
    }
    nodes[3].commit(new_event(1)).await.unwrap();
    assert_eq!(days_of_events(&database), [today + 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_forward_steps_over_what_no_day_has_given() {
    let Some((store, database)) = postgres::open() else { return };
    declare(&store, 1).await;
    let today = day(&database);
    for n in 1..=3 {
        set_day(&database, today + i64::from(n));
        store.make_room().await.unwrap();
        store.commit(owing(new_event(n), n, 1)).await.unwrap();
        let claimed = store.claim(request(at(10), &[(1, 9)])).await.unwrap().remove(0);
        store.settle(vec![settlement(&claimed.claim, at(10), Next::Delivered)]).await.unwrap();
    }
    let (mut found, mut after) = (Vec::new(), 0);
    for looks in 1.. {
        let stretch = store.events_after(ORG, FeedFilter::default(), after, 100).await.unwrap();
        found.extend(stretch.items.iter().map(|event| event.id));
        after = stretch.position;
        assert!(looks < 9, "{found:?}");
        if stretch.is_end {
            break;
        }
    }
    assert_eq!(found, [1, 2, 3].map(event_id));
    let (mut found, mut after) = (Vec::new(), 0);
    for looks in 1.. {
        let stretch = store.attempts_after(ORG, FeedFilter::default(), after, 100).await.unwrap();
        found.extend(stretch.items.iter().map(|attempt| attempt.delivery));
        after = stretch.position;
        assert!(looks < 9, "{found:?}");
        if stretch.is_end {
            break;
        }
    }
    assert_eq!(found, [1, 2, 3].map(delivery_id));
    let mut steps = 1;
    while store.tally(at(1_000)).await.unwrap() {
        steps += 1;
        assert!(steps < 9);
    }
    let window = Window { span: Span::Hour, from: at(-7_200_000), step: std::time::Duration::from_secs(3_600) };
    let tallied = store.tallied(ORG, window).await.unwrap();
    let received: u64 = tallied.doors.values().map(|received| received.accepted).sum();
    let attempted: u64 = tallied.destinations.values().map(|at| at.attempted.succeeded).sum();
    assert_eq!((received, attempted, tallied.is_behind), (3, 3, false));
    // The first event since a time is found across the gaps as well.
    let position = store.event_position(Some(Timestamp::from_millis(at(3).as_millis() + 60_000))).await.unwrap();
    assert_eq!(position >> 38, today + 2, "behind the second one");
    let job = store.look(ORG, crate::support::every_event(1), store.range().await.unwrap(), 2, 9).await.unwrap();
    assert_eq!((job.looked_at, job.events.len()), (2, 2));
}

/// Everything of these sources that was received more than a minute before this.
fn old(sources: &[u32], before: i64) -> Old {
    let before = sources.iter().map(|n| (source_id(*n), at(before + 60_000))).collect();
    Old { before, now: at(10_000) }
}

/// Goes on to a day.
async fn go_to(store: &Shared, database: &Database, day: i64) {
    set_day(database, day);
    store.make_room().await.unwrap();
}

/// Claims what is due at destination 1, and ends it.
async fn settle_all(store: &Shared, next: Next) {
    let claimed = store.claim(request(at(1_000), &[(1, 100)])).await.unwrap();
    for one in claimed {
        store.settle(vec![settlement(&one.claim, at(1_000), next)]).await.unwrap();
    }
}

/// Events of source 1 that are not stripped, and bytes of bodies.
async fn totals(store: &Shared) -> (u64, u64) {
    let kept = store.kept().await.unwrap();
    kept.iter().find(|kept| kept.source == source_id(1)).map_or((0, 0), |kept| (kept.events, kept.body_bytes))
}

/// Which of the tables have a partition of this day.
fn tables_of(database: &Database, day: i64) -> Vec<&'static str> {
    let has = |table: &&str| partitions(database, table).iter().any(|name| name.contains(&format!("_day_{day}")));
    SPLIT.into_iter().map(|(table, _)| table).filter(has).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_goes_as_a_whole() {
    let Some((store, database)) = postgres::open() else { return };
    declare(&store, 1).await;
    let today = day(&database);
    store.commit(owing(new_event(1), 1, 1)).await.unwrap();
    store.commit(owing(new_event(2), 2, 1)).await.unwrap();
    settle_all(&store, Next::Delivered).await;
    assert_eq!(store.drop_days(old(&[1], 1_000)).await.unwrap(), Some(0), "it is not over");
    go_to(&store, &database, today + 1).await;
    store.commit(owing(new_event(3), 3, 1)).await.unwrap();
    settle_all(&store, Next::Exhausted).await;
    // A redelivery of an event of the day before goes with that.
    let again = NewDelivery { cause: DeliveryCause::Redelivery { of: None }, ..new_delivery(4, 1) };
    store.redeliver(event_id(1), vec![again], audit("event.redeliver", at(20))).await.unwrap();
    settle_all(&store, Next::Delivered).await;
    assert_eq!(store.drop_days(old(&[1], 2)).await.unwrap(), Some(0), "its newest event is not old");
    assert_eq!(tables_of(&database, today).len(), 6);
    assert_eq!(totals(&store).await, (3, 45));
    assert_eq!(store.drop_days(old(&[1], 3)).await.unwrap(), Some(1));
    assert!(tables_of(&database, today).is_empty());
    assert_eq!(totals(&store).await, (1, 15));
    for n in 1..=2 {
        assert!(store.event(ORG, event_id(n)).await.is_err() && store.body(ORG, event_id(n)).await.is_err());
        assert!(store.delivery(ORG, delivery_id(n)).await.is_err());
    }
    assert_eq!(
        database.query("select count(*) from deliveries where event_seq not in (select seq from events)"),
        ["0"]
    );
    assert_eq!(database.query("select count(*) from attempts"), ["1"]);
    assert_eq!(listed(&store, EventFilter::default()).await, [event_id(3)]);
    assert_eq!(store.body(ORG, event_id(3)).await.unwrap(), "body of event 3");
    assert_eq!(store.delivery(ORG, delivery_id(3)).await.unwrap().1.len(), 1);
    let first = store.events_after(ORG, FeedFilter::default(), 0, 9).await.unwrap();
    assert_eq!((first.items.len(), first.is_end), (1, true));
    // Today stays, whatever is in it.
    assert_eq!(store.drop_days(old(&[1], 1_000_000)).await.unwrap(), Some(0));
    assert_eq!(store.commit(new_event(5)).await.unwrap().original(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_stays_as_long_as_anything_in_it_does() {
    let Some((store, database)) = postgres::open() else { return };
    declare(&store, 2).await;
    store.change(vec![Change::PutSource(source(2))], vec![]).await.unwrap();
    let today = day(&database);
    let of_other = |n: u32| {
        let mut new = new_event(n);
        new.event.source = source_id(2);
        new
    };
    let paused = Change::SetDestinationState(destination_id(2), DestinationState::Paused);
    store.change(vec![paused], vec![]).await.unwrap();
    store.commit(of_other(1)).await.unwrap();
    store.commit(owing(new_event(2), 2, 1)).await.unwrap();
    store.commit(owing(new_event(3), 3, 2)).await.unwrap();
    go_to(&store, &database, today + 1).await;
    let left = async |old: Old| assert_eq!(store.drop_days(old).await.unwrap(), Some(0));
    left(old(&[1, 2], 1_000)).await;
    settle_all(&store, Next::Delivered).await;
    left(old(&[1, 2], 1_000)).await;
    store.cancel(delivery_id(3), at(30), audit("delivery.cancel", at(30))).await.unwrap();
    left(old(&[1], 1_000)).await;
    left(Old { before: [(source_id(1), at(1_000_000)), (source_id(2), at(60_001))].into(), now: at(10_000) }).await;
    assert_eq!(listed(&store, EventFilter::default()).await, [3, 2, 1].map(event_id));
    assert_eq!(totals(&store).await, (2, 30));
    assert_eq!(store.drop_days(old(&[1, 2], 1_000)).await.unwrap(), Some(1));
    assert_eq!(totals(&store).await, (0, 0));
    assert!(tables_of(&database, today).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_of_what_stays_outlive_their_own_day() {
    let Some((store, database)) = postgres::open() else { return };
    declare(&store, 1).await;
    store.change(vec![Change::PutSource(source(2))], vec![]).await.unwrap();
    let today = day(&database);
    let mut staying = owing(new_event(1), 1, 1);
    staying.event.source = source_id(2);
    store.commit(staying).await.unwrap();
    settle_all(&store, Next::Exhausted).await;
    go_to(&store, &database, today + 1).await;
    store.commit(owing(new_event(2), 2, 1)).await.unwrap();
    let again = NewDelivery { cause: DeliveryCause::Redelivery { of: None }, ..new_delivery(3, 1) };
    store.redeliver(event_id(1), vec![again], audit("event.redeliver", at(20))).await.unwrap();
    settle_all(&store, Next::Delivered).await;
    go_to(&store, &database, today + 2).await;
    assert_eq!(store.drop_days(old(&[1], 1_000)).await.unwrap(), Some(1));
    assert_eq!(tables_of(&database, today + 1), ["deliveries_rest", "attempts", "outputs"]);
    let (_, attempts) = store.delivery(ORG, delivery_id(3)).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert!(store.delivery(ORG, delivery_id(2)).await.is_err(), "its event is gone");
    // With the event that they are of they go as well.
    assert_eq!(store.drop_days(old(&[1, 2], 1_000)).await.unwrap(), Some(2));
    assert!(tables_of(&database, today).is_empty() && tables_of(&database, today + 1).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_needed_outlives_its_day() {
    let Some((store, database)) = postgres::open() else { return };
    declare(&store, 1).await;
    let today = day(&database);
    let keyed = |n: u32| with_key(new_event(n), DedupKind::DeliveryId, &[u8::try_from(n).unwrap()]);
    let mut ran = owing(keyed(1), 1, 1);
    ran.deliveries[0].once = Some([1; 32]);
    let mut failed = owing(keyed(2), 2, 1);
    failed.deliveries[0].once = Some([2; 32]);
    store.commit(ran).await.unwrap();
    settle_all(&store, Next::Delivered).await;
    store.commit(failed).await.unwrap();
    settle_all(&store, Next::Exhausted).await;
    let same = |n: u32| with_body(with_key(new_event(n), DedupKind::Body, b"same"), b"same");
    store.commit(same(3)).await.unwrap();
    store.commit(new_event(4)).await.unwrap();
    let before = store.event(ORG, event_id(1)).await.unwrap();
    go_to(&store, &database, today + 1).await;
    store.commit(same(5)).await.unwrap();
    assert_eq!(totals(&store).await, (5, 49));
    assert_eq!(store.drop_days(old(&[1], 5)).await.unwrap(), Some(1));
    assert_eq!(partitions(&database, "events")[1], format!("events_day_{today}_kept"));
    assert_eq!(totals(&store).await, (1, 4));
    // As if it had been stripped by itself.
    let request = RequestRecord { headers: vec![], ..before.request.clone() };
    let after = store.event(ORG, event_id(1)).await.unwrap();
    assert_eq!(after, Event { request, stripped_at: Some(at(10_000)), ..before });
    assert!(store.body(ORG, event_id(1)).await.is_err() && store.event(ORG, event_id(4)).await.is_err());
    assert_eq!(store.body(ORG, event_id(5)).await.unwrap(), "same", "it was the first one's");
    let again = |n: u32, key: u8| with_key(new_event(n), DedupKind::DeliveryId, &[key]);
    assert_eq!(store.commit(again(6, 1)).await.unwrap().original().map(|original| original.event), Some(event_id(1)));
    let once = |n: u32, value: u8| {
        let mut new = owing(new_event(n), n, 1);
        new.deliveries[0].once = Some([value; 32]);
        new
    };
    assert_eq!(store.commit(once(7, 1)).await.unwrap().owed(), 0, "it ran well");
    assert_eq!(store.commit(once(8, 2)).await.unwrap().owed(), 1, "it did not");
    // Nothing more happens to it while it is needed, and it goes row by row when it is not.
    assert_eq!(store.drop_days(old(&[1], 5)).await.unwrap(), Some(0));
    let strip = Strip {
        source: source_id(1),
        after: i64::MIN,
        before: Some(at(6)),
        size_bytes: None,
        events: 64,
        body_bytes: 1 << 20,
        now: at(10_000),
    };
    assert_eq!(store.strip(strip).await.unwrap().stripped, 1);
    assert!(store.body(ORG, event_id(5)).await.is_err());
    assert_eq!(totals(&store).await.0, 3, "what came meanwhile");
    store.remove_rows(at(90_000_000), 99).await.unwrap();
    store.drop_days(old(&[1], 5)).await.unwrap();
    assert!(tables_of(&database, today).is_empty());
    assert_eq!(database.query("select count(*) from once where event_seq not in (select seq from events)"), ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_idles_holds_up_the_drop_and_nothing_else() {
    let Some((store, database)) = postgres::open() else { return };
    declare(&store, 1).await;
    let today = day(&database);
    store.commit(owing(new_event(1), 1, 1)).await.unwrap();
    settle_all(&store, Next::Delivered).await;
    go_to(&store, &database, today + 1).await;
    let (reader, connection) = tokio_postgres::connect(&database.address(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    reader.batch_execute("begin isolation level repeatable read; select count(*) from bodies").await.unwrap();
    assert_eq!(store.drop_days(old(&[1], 1_000)).await.unwrap(), Some(0));
    assert_eq!(tables_of(&database, today).len(), 6);
    store.commit(owing(new_event(2), 2, 1)).await.unwrap();
    settle_all(&store, Next::Delivered).await;
    assert_eq!(store.body(ORG, event_id(1)).await.unwrap(), "body of event 1");
    assert_eq!(totals(&store).await, (2, 30));
    go_to(&store, &database, today + 2).await;
    reader.batch_execute("rollback").await.unwrap();
    assert_eq!(store.drop_days(old(&[1], 1_000)).await.unwrap(), Some(2));
    // Two who drop at once drop once; rows do not go by themselves meanwhile.
    reader.batch_execute("begin; select pg_advisory_xact_lock(1752133483, 5)").await.unwrap();
    store.commit(new_event(3)).await.unwrap();
    go_to(&store, &database, today + 3).await;
    assert_eq!(store.drop_days(old(&[1], 1_000)).await.unwrap(), Some(0));
    let strip = Strip {
        source: source_id(1),
        after: i64::MIN,
        before: Some(at(1_000)),
        size_bytes: None,
        events: 64,
        body_bytes: 1 << 20,
        now: at(10_000),
    };
    assert_eq!(store.strip(strip.clone()).await.unwrap().stripped, 0);
    reader.batch_execute("commit").await.unwrap();
    assert_eq!(store.strip(strip).await.unwrap().stripped, 1);
}
