//! Days of the shared store: made ahead, gone on to when they come, and read across. Days are moved by replacing what the
//! database takes for its time.

use hookward_engine::clock::Timestamp;
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
