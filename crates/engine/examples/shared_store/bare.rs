//! The bare side: a connection for each node, which commits what is waiting in one transaction of a few statements; two where it
//! delivers, one for leases and one for ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use hookward_engine::store::NewEvent;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, Statement};

use super::{Counters, DESTINATIONS, Failure, Plan, Takes, connect, count, destination, event, id, now};

/// As many as the store puts in one transaction.
const GROUP: usize = 256;

const TABLES: &str = "
    create table if not exists bare_events (seq bigserial primary key, id bytea not null, source_id bytea not null,
        event_type text not null, delivery_id text, received_at_ms bigint not null, verdict text not null,
        headers bytea not null, body_sha256 bytea not null, body bytea not null);
    alter table bare_events alter column body set storage external;
    create table if not exists bare_dedup (source_id bytea not null, key bytea not null, event bytea not null,
        expires_at_ms bigint not null, primary key (source_id, key));
    create table if not exists bare_audit (seq bigserial primary key, at_ms bigint not null, actor text not null,
        action text not null, target text not null, detail text not null);
    create table if not exists bare_outstanding (seq bigserial primary key, event_seq bigint not null,
        destination_id bytea not null, due_at_ms bigint not null, node bytea)
        with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
    create index if not exists bare_due on bare_outstanding (destination_id, due_at_ms);
    create table if not exists bare_delivered (seq bigint primary key, event_seq bigint not null, destination_id bytea not null,
        state text not null, ended_at_ms bigint not null);
    create table if not exists bare_attempts (seq bigserial primary key, delivery_seq bigint not null, id bytea not null,
        started_at_ms bigint not null, duration_ms bigint not null, outcome text not null, status bigint,
        excerpt bytea not null)";

/// The bare side: a connection for each node, which commits what is waiting.
pub(crate) struct Bare {
    pub(crate) nodes: Vec<Arc<BareNode>>,
    /// Of each node one that leases and commits events, and one that writes ends.
    clients: Vec<[Arc<Client>; 2]>,
}

pub(crate) struct BareNode(mpsc::Sender<(NewEvent, oneshot::Sender<()>)>);

impl Takes for BareNode {
    async fn take(&self, event: NewEvent) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        self.0.send((event, answer)).await.map_err(|_| "the bare writer has ended")?;
        Ok(answered.await?)
    }
}

impl Bare {
    pub(crate) async fn new(address: &str, nodes: usize) -> Result<Self, Failure> {
        let mut bare = Self { nodes: Vec::new(), clients: Vec::new() };
        for node in 0..nodes {
            let client = Arc::new(connect(address).await?);
            if node == 0 {
                client.batch_execute(TABLES).await?;
            }
            let (sender, mut waiting) = mpsc::channel(4096);
            bare.nodes.push(Arc::new(BareNode(sender)));
            bare.clients.push([Arc::clone(&client), Arc::new(connect(address).await?)]);
            tokio::spawn(async move {
                let mut group = Vec::with_capacity(GROUP);
                while waiting.recv_many(&mut group, GROUP).await > 0 {
                    let (events, answers): (Vec<NewEvent>, Vec<_>) = group.drain(..).unzip();
                    commit(&client, &events).await.expect("the bare group is committed");
                    answers.into_iter().for_each(|answer: oneshot::Sender<()>| answer.send(()).unwrap_or_default());
                }
            });
        }
        Ok(bare)
    }

    pub(crate) async fn deliver(&self, plan: &Plan, counters: &Arc<Counters>) -> Result<f64, Failure> {
        let owed = plan.tasks as u64 * 100;
        let events: Vec<NewEvent> =
            (0..owed).map(|_| event(counters.events.fetch_add(1, Ordering::Relaxed), true)).collect();
        for some in events.chunks(1_000) {
            commit(&self.clients[0][0], some).await?;
        }
        let began = Instant::now();
        let settled = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for [leasing, writing] in &self.clients {
            let (leasing, writing, settled) = (Arc::clone(leasing), Arc::clone(writing), Arc::clone(&settled));
            tasks.spawn(async move {
                let mut ending = None;
                while settled.load(Ordering::Relaxed) < owed {
                    let leased = lease(&leasing).await?;
                    count(ending.take(), &settled).await?;
                    if !leased.is_empty() {
                        let writing = Arc::clone(&writing);
                        ending = Some(tokio::spawn(async move { settle(&writing, &leased).await }));
                    }
                }
                Ok::<(), Failure>(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        Ok(owed as f64 / began.elapsed().as_secs_f64())
    }
}

/// One group, as a few statements of many rows.
async fn commit(client: &Client, events: &[NewEvent]) -> Result<(), Failure> {
    let all = || events.iter().map(|new| &new.event);
    let ids: Vec<&[u8]> = all().map(|event| &event.id.as_bytes()[..]).collect();
    let sources: Vec<&[u8]> = all().map(|event| &event.source.as_bytes()[..]).collect();
    let types: Vec<&str> = all().map(|event| &*event.event_type).collect();
    let delivery_ids: Vec<Option<&str>> = all().map(|event| event.delivery_id.as_deref()).collect();
    let times: Vec<i64> = all().map(|event| event.received_at.as_millis()).collect();
    let verdicts: Vec<String> = all().map(|event| event.verdict.to_string()).collect();
    let headers: Vec<&[u8]> = all().map(|event| &event.request.headers[0].1[..]).collect();
    let digests: Vec<&[u8]> = all().map(|event| &event.body_sha256[..]).collect();
    let bodies: Vec<&[u8]> = events.iter().map(|new| &new.body[..]).collect();
    let keys = || events.iter().flat_map(|new| new.dedup.iter().map(move |key| (new, key)));
    let key_sources: Vec<&[u8]> = keys().map(|(new, _)| &new.event.source.as_bytes()[..]).collect();
    let key_bytes: Vec<&[u8]> = keys().map(|(_, key)| &key.key[..]).collect();
    let key_events: Vec<&[u8]> = keys().map(|(new, _)| &new.event.id.as_bytes()[..]).collect();
    let key_ends: Vec<i64> = keys().map(|(_, key)| key.expires_at.as_millis()).collect();
    let actors: Vec<&str> = events.iter().map(|new| &*new.audit_accepted.actor).collect();
    let actions: Vec<&str> = events.iter().map(|new| &*new.audit_accepted.action).collect();
    let targets: Vec<&str> = events.iter().map(|new| &*new.audit_accepted.target).collect();
    let details: Vec<String> = events.iter().map(|new| new.audit_accepted.detail.to_string()).collect();
    client.batch_execute("begin").await?;
    let sql = "insert into bare_dedup select * from unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[])
               on conflict do nothing returning 1";
    let sql = prepared(client, sql).await?;
    let known = client.query(&sql, &[&key_sources, &key_bytes, &key_events, &key_ends]).await?;
    assert_eq!(known.len(), key_bytes.len(), "nothing is sent twice here");
    let sql = "insert into bare_events (id, source_id, event_type, delivery_id, received_at_ms, verdict, headers, body_sha256, body)
               select * from unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bytea[],
                   $8::bytea[], $9::bytea[]) returning seq";
    let sql = prepared(client, sql).await?;
    let written = client
        .query(&sql, &[&ids, &sources, &types, &delivery_ids, &times, &verdicts, &headers, &digests, &bodies])
        .await?;
    if events.iter().any(|new| !new.deliveries.is_empty()) {
        let seqs: Vec<i64> = written.iter().map(|row| row.get(0)).collect();
        let to: Vec<&[u8]> = events.iter().map(|new| &new.deliveries[0].destination.as_bytes()[..]).collect();
        let sql = "insert into bare_outstanding (event_seq, destination_id, due_at_ms)
                   select * from unnest($1::bigint[], $2::bytea[], $3::bigint[])";
        let sql = prepared(client, sql).await?;
        client.execute(&sql, &[&seqs, &to, &times]).await?;
    }
    let sql = "insert into bare_audit (at_ms, actor, action, target, detail)
               select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])";
    let sql = prepared(client, sql).await?;
    client.execute(&sql, &[&times, &actors, &actions, &targets, &details]).await?;
    Ok(client.batch_execute("commit").await?)
}

/// Leases a batch, and reads what goes with it.
async fn lease(client: &Client) -> Result<Vec<i64>, Failure> {
    let at = now().as_millis();
    let lease = "update bare_outstanding set due_at_ms = $2 + 60000, node = '\\x01' where seq = any(array(
                     select seq from bare_outstanding where destination_id = $1 and due_at_ms <= $2
                     order by due_at_ms limit 64 for update skip locked)) returning seq, event_seq";
    let lease = prepared(client, lease).await?;
    client.batch_execute("begin").await?;
    let mut leased = Vec::new();
    for n in 0..u64::from(DESTINATIONS) {
        leased.extend(client.query(&lease, &[&&destination(n).as_bytes()[..], &at]).await?);
    }
    client.batch_execute("commit").await?;
    if leased.is_empty() {
        return Ok(Vec::new());
    }
    let seqs: Vec<i64> = leased.iter().map(|row| row.get(0)).collect();
    let events: Vec<i64> = leased.iter().map(|row| row.get(1)).collect();
    let load = prepared(client, "select * from bare_events where seq = any($1)").await?;
    let loaded = client.query(&load, &[&events]).await?;
    assert_eq!(loaded.len(), events.len());
    Ok(seqs)
}

/// Writes the ends of a batch.
async fn settle(client: &Client, seqs: &[i64]) -> Result<u64, Failure> {
    let at = now().as_millis();
    let ids: Vec<Vec<u8>> = seqs.iter().map(|seq| id(6, seq.unsigned_abs()).to_vec()).collect();
    client.batch_execute("begin").await?;
    let sql = "insert into bare_attempts (delivery_seq, id, started_at_ms, duration_ms, outcome, status, excerpt)
               select seq, id, $3, 7, 'success', 200, 'ok' from unnest($1::bigint[], $2::bytea[]) as one (seq, id)";
    let sql = prepared(client, sql).await?;
    client.execute(&sql, &[&seqs, &ids, &at]).await?;
    let sql = "with done as (delete from bare_outstanding where seq = any($1) and node = '\\x01'
                   returning seq, event_seq, destination_id)
               insert into bare_delivered select seq, event_seq, destination_id, 'delivered', $2 from done";
    let sql = prepared(client, sql).await?;
    let done = client.execute(&sql, &[&seqs, &at]).await?;
    client.batch_execute("commit").await?;
    Ok(done)
}

/// Prepared once for each connection.
async fn prepared(client: &Client, sql: &'static str) -> Result<Statement, Failure> {
    type Known = HashMap<(usize, &'static str), Statement>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let key = (std::ptr::from_ref(client).addr(), sql);
    if let Some(known) = KNOWN.lock().map_err(|_| "poisoned")?.get(&key) {
        return Ok(known.clone());
    }
    let statement = client.prepare(sql).await?;
    KNOWN.lock().map_err(|_| "poisoned")?.insert(key, statement.clone());
    Ok(statement)
}
