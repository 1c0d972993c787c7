//! Many leases, and the ends of many attempts, in a few statements. What has to do with other deliveries (order, keys of which
//! the newest counts, whoever is told) is left to `claim` and `settle`, which go one by one.
//! Owns nothing of what is decided: that is theirs, word for word.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::session::{Asked, Session, asked, sayable};
use crate::clock::Timestamp;
use crate::ids::DestinationId;
use crate::store::sql::bodies;
use crate::store::sql::claim::{Lease, Outstanding, outstanding};
use crate::store::sql::connection::Row;
use crate::store::sql::events;
use crate::store::sql::failure::{Failure, Result};
use crate::store::sql::headers;
use crate::store::sql::rows::{Cells, integer, json_text, outcome_text};
use crate::store::sql::settle::End;
use crate::store::{Claim, ClaimRequest, Claimed, Next, Settlement};

/// What several destinations are owed by now.
pub(in crate::store) struct Due {
    /// Of each that takes deliveries as much as there is room for, the longest due first, as it was found.
    pub(in crate::store) found: Vec<Outstanding>,
    /// Those that take none.
    pub(in crate::store) inactive: Vec<DestinationId>,
}

impl Outstanding {
    /// Whether [`lease`] gave its lease away: nothing else has to be seen to first.
    pub(in crate::store) fn is_plain(&self) -> bool {
        self.leased_at.is_none() && !self.called_off
    }
}

/// Looks for what is due, pending or with a lease that has run out, steps over what others are looking at, and gives the leases of
/// what is plain to whoever asks.
pub(in crate::store) fn lease(session: &Session, request: &ClaimRequest) -> Result<Due> {
    let mut due = Due { found: Vec::new(), inactive: Vec::new() };
    if request.room.is_empty() {
        return Ok(due);
    }
    let floor = |&(destination, _): &(DestinationId, u32)| session.floors().of(destination, request.now);
    let floors: Vec<Option<Timestamp>> = request.room.iter().map(floor).collect();
    let look = look(session, request, &request.room, &floors, &mut due)?;
    if !session.floors().are_void(look.revision) {
        for ((destination, _), floor) in request.room.iter().zip(floors) {
            if let Some(first) = look.first.get(destination) {
                session.floors().learn(*destination, floor, *first, request.now, look.took);
            }
        }
    } else if floors.iter().any(Option::is_some) {
        let found = due.found.iter().map(|one| one.destination);
        let left = |(destination, room): &(DestinationId, u32)| {
            let taken = found.clone().filter(|one| one == destination).count();
            (*destination, room.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX)))
        };
        let room: Vec<(DestinationId, u32)> = request.room.iter().map(left).collect();
        // What is not plain is as it was, and is found again.
        let seen: HashSet<i64> = due.found.iter().map(|one| one.seq).collect();
        let mut again = Due { found: Vec::new(), inactive: Vec::new() };
        self::look(session, request, &room, &vec![None; room.len()], &mut again)?;
        due.found.extend(again.found.into_iter().filter(|one| !seen.contains(&one.seq)));
        due.inactive = again.inactive;
    }
    Ok(due)
}

/// What a look tells besides what it found.
struct Look {
    /// The revision that was in force then, or one that came since.
    revision: i64,
    /// Where it was asked for: when the first of what is outstanding is due, if anything is.
    first: HashMap<DestinationId, Option<Timestamp>>,
    /// How long the transaction has taken up to now.
    took: Duration,
}

/// One look.
fn look(
    session: &Session,
    request: &ClaimRequest,
    room: &[(DestinationId, u32)],
    floors: &[Option<Timestamp>],
    due: &mut Due,
) -> Result<Look> {
    let destinations = || room.iter().map(|(destination, _)| destination.as_bytes().to_vec()).collect::<Vec<_>>();
    let rooms: Vec<i64> = room.iter().map(|(_, room)| i64::from(*room)).collect();
    let floors: Vec<i64> = floors.iter().map(|floor| floor.map_or(i64::MIN, Timestamp::as_millis)).collect();
    let (now, until) = (request.now.as_millis(), request.until.as_millis());
    let asking = || room.iter().zip(&floors).filter(|((id, _), _)| session.floors().asks(*id, request.now));
    let asking_of: Vec<Vec<u8>> = asking().map(|((id, _), _)| id.as_bytes().to_vec()).collect();
    let asking_from: Vec<i64> = asking().map(|(_, floor)| *floor).collect();
    let known = "select id, state = 'active' and opened_at_ms is null from destinations where id = any($1)";
    let asked = [
        asked!(LEASE, destinations(), rooms, floors.clone(), now, until, request.node.as_bytes().to_vec()),
        asked!(FIRST, asking_of, asking_from),
        asked!(known, destinations()),
        asked!("select declared, (extract(epoch from clock_timestamp() - now()) * 1000)::bigint from revision"),
    ];
    let answers = session.each_of(&asked)?;
    let id = |row: &tokio_postgres::Row| row.get::<_, &[u8]>(0).try_into().map(DestinationId::from_bytes).ok();
    let known: HashMap<DestinationId, bool> =
        answers[2].iter().filter_map(|row| Some((id(row)?, row.get(1)))).collect();
    if let Some((unknown, _)) = room.iter().find(|(destination, _)| !known.contains_key(destination)) {
        return Err(Failure::not_found(format!("destination `{unknown}`")));
    }
    for row in &answers[0] {
        due.found.push(outstanding(&Row::Postgres(row))?);
    }
    due.inactive.extend(known.into_iter().filter(|(_, is_active)| !is_active).map(|(destination, _)| destination));
    let first = answers[1].iter();
    let first = first.filter_map(|row| Some((id(row)?, row.get::<_, Option<i64>>(1).map(Timestamp::from_millis))));
    let (revision, took_ms) = answers[3].first().map_or((0, 0), |row| (row.get(0), row.get::<_, i64>(1)));
    let took = Duration::from_millis(took_ms.max(0).unsigned_abs());
    Ok(Look { revision, first: first.collect(), took })
}

/// What is leased, and what somebody is looking at, counts as well: it may be due again.
const FIRST: &str = "select a.destination_id, (
        select o.due_at_ms from deliveries_outstanding o
        where o.destination_id = a.destination_id and o.due_at_ms >= a.floor order by o.due_at_ms limit 1)
    from unnest($1::bytea[], $2::bigint[]) as a (destination_id, floor)";

/// An array, and no join, and of ids, which are in one index and no other: however few rows the table had when it was last looked at,
/// these are looked up in it. Places are in several, of which the shortest seemed best while all were empty. What a lease sets is in no index, so that it costs one version of the row and nothing else.
const LEASE: &str = "with asked as (
        select a.* from unnest($1::bytea[], $2::bigint[], $3::bigint[]) as a (destination_id, room, floor)
        join destinations n on n.id = a.destination_id and n.state = 'active' and n.opened_at_ms is null
    ), found as materialized (
        select d.* from asked cross join lateral (
            select seq, id, destination_id, event_seq, cause, cause_of, attempts, probes, state, state_at_ms, due_at_ms, node,
                cancel_at_ms, order_key, skipped, leased_until_ms
            from deliveries_outstanding o
            where o.destination_id = asked.destination_id and o.due_at_ms >= asked.floor and o.due_at_ms <= $4
                and (o.leased_until_ms is null or o.leased_until_ms <= $4)
            order by o.due_at_ms, o.seq limit asked.room for update skip locked) as d
    ), leased as (
        update deliveries_outstanding
        set state = 'leased', state_at_ms = $4, leased_until_ms = $5, node = $6, attempts = attempts + 1
        where id = any(array(select id from found where state = 'pending' and cancel_at_ms is null))
    )
    select * from found order by due_at_ms, seq";

/// What goes with leases that tell of nothing else. One whose event is damaged is left out: its lease runs out, and the next
/// claim says this again.
pub(in crate::store) fn load(session: &Session, leases: &[&Lease]) -> Result<Vec<Claimed>> {
    let seqs: Vec<i64> = leases.iter().map(|lease| lease.event_seq).collect();
    let sql = "select e.*, b.packing, b.bytes from events e
               left join bodies b on b.event_seq = coalesce(e.body_seq, e.seq) where e.seq = any($1)";
    let rows = session.rows(sql, &[&seqs])?;
    let mut found: HashMap<i64, &tokio_postgres::Row> = HashMap::new();
    for row in &rows {
        found.insert(row.get("seq"), row);
    }
    let mut claimed = Vec::with_capacity(leases.len());
    for lease in leases {
        let loaded = found.get(&lease.event_seq).map(|row| {
            let row = Row::Postgres(row);
            let (event, body) = (events::parse(&row)?, bodies::unpacked(&Cells::new("bodies", &row))?);
            let claim = Claim::new(lease.delivery, lease.destination, lease.node, lease.number);
            let &Lease { probe, probes, ordered, skipped, .. } = *lease;
            Ok(Claimed { claim, event, body, concluded: None, probe, probes, ordered, skipped })
        });
        match loaded {
            Some(Ok(one)) => claimed.push(one),
            Some(Err(failure)) => {
                let error: Failure = failure;
                tracing::error!(delivery = %lease.delivery, %error, "a delivery cannot be attempted");
            }
            None => tracing::error!(delivery = %lease.delivery, "a delivery's event is missing"),
        }
    }
    Ok(claimed)
}

/// The lines in which any of these stand, each with the destination and the key.
pub(in crate::store) fn lines<'s>(
    session: &Session,
    settlements: impl Iterator<Item = &'s Settlement>,
) -> Result<Vec<(DestinationId, Vec<u8>)>> {
    let ids: Vec<Vec<u8>> = settlements.map(|one| one.claim.delivery().as_bytes().to_vec()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "select destination_id, order_key from deliveries where id = any($1) and order_key is not null";
    let line = |row: &tokio_postgres::Row| {
        Some((DestinationId::from_bytes(row.get::<_, &[u8]>(0).try_into().ok()?), row.get::<_, Vec<u8>>(1)))
    };
    Ok(session.rows(sql, &[&ids])?.iter().filter_map(line).collect())
}

/// Settles what is plain of `ends`, and says which: the others are as they were, among them those whose lease is lost.
pub(in crate::store) fn settle(session: &Session, ends: &[&End]) -> Result<Vec<bool>> {
    let settlements = || ends.iter().map(|end| &end.settlement);
    let mut seen = HashSet::new();
    // What becomes of the others of a destination depends on whether it is disabled before them.
    let disabled = settlements().filter(|one| one.disable.is_some()).map(|one| one.claim.destination());
    let disabled: HashSet<DestinationId> = disabled.collect();
    let plain = |(index, one): &(usize, &Settlement)| {
        let is_first = seen.insert(one.claim.delivery());
        is_first && !disabled.contains(&one.claim.destination()) && one.then.is_empty() && ends[*index].output.is_none()
    };
    let plain = settlements().enumerate().filter(plain);
    let (again, over): (Vec<_>, Vec<_>) = plain.partition(|(_, one)| matches!(one.next, Next::Again { .. }));
    let parts = [(AGAIN, again), (OVER, over)];
    let parts: Vec<_> = parts.into_iter().filter(|(_, part)| !part.is_empty()).collect();
    let asked: Vec<Asked<'_>> = parts.iter().map(|(sql, part)| ending_of(sql, part)).collect();
    let mut settled = vec![false; ends.len()];
    if asked.is_empty() {
        return Ok(settled);
    }
    for ((_, part), rows) in parts.iter().zip(session.each_of(&asked)?) {
        for row in rows {
            let place = usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or(usize::MAX);
            part.get(place).into_iter().for_each(|(index, _)| settled[*index] = true);
        }
    }
    Ok(settled)
}

/// Statements that end attempts, from what [`ending_of`] gives them: whose lease holds and has to do with no other delivery is found
/// by `$found`, with its place and what is to be kept, and its attempt is kept. Joins of what is asked with what was found would look
/// at each of both.
macro_rules! ending {
    ($found:literal) => {
        concat!(
            "with asked as (
                select * from unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[],
                    $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bytea[], $12::text[], $13::bytea[],
                    $14::text[], $15::bytea[], $16::bytea[], $17::text[], $18::text[], $19::bigint[], $20::bigint[])
                    with ordinality as asked (delivery_id, holder, number, attempt_id, started_at_ms, duration_ms, outcome,
                        signed_by, status, exit_code, excerpt, detail, attempted_by, target, request_headers,
                        response_headers, timings, next_state, ended_at_ms, due_again_ms, ordinal)
            ), ",
            $found,
            ", attempted as (
                insert into attempts (delivery_seq, number, id, started_at_ms, duration_ms, outcome, signed_by, status,
                    exit_code, excerpt, detail, node, target, request_headers, response_headers, timings)
                select seq, number, attempt_id, started_at_ms, duration_ms, outcome, signed_by, status, exit_code, excerpt,
                    detail, attempted_by, target, request_headers, response_headers, timings
                from found order by ordinal
            )
            select ordinal from found"
        )
    };
}

/// Those that are over, or held: their rows go where they stay, as PostgreSQL itself would move them, only in one go. What is
/// not named has no value there.
const OVER: &str = ending!(
    "found as (
        delete from deliveries_outstanding d using asked
        where d.id = asked.delivery_id and d.state = 'leased' and d.node = asked.holder and d.attempts = asked.number
            and d.cancel_at_ms is null and d.latest_key is null and d.order_key is null
        returning d.seq, d.id, d.event_seq, d.destination_id, d.cause, d.cause_of, d.created_at_ms, d.attempts,
            d.superseded_by, d.pulled, d.organization_id, d.behind, d.skipped, d.probes, asked.*
    ), moved as (
        insert into deliveries_rest (seq, id, event_seq, destination_id, cause, cause_of, created_at_ms, attempts, state,
            state_at_ms, superseded_by, pulled, organization_id, behind, skipped, probes)
        select seq, id, event_seq, destination_id, cause, cause_of, created_at_ms, attempts, next_state, ended_at_ms,
            superseded_by, pulled, organization_id, behind, skipped, probes
        from found order by seq
    )"
);

/// Those that are attempted again. Where the destination takes nothing now they are held, which is left to others.
const AGAIN: &str = ending!(
    "found as (
        update deliveries_outstanding d
        set state = asked.next_state, state_at_ms = asked.ended_at_ms, due_at_ms = asked.due_again_ms,
            leased_until_ms = null, node = null, resume_at_ms = asked.due_again_ms
        from asked, destinations n
        where d.id = asked.delivery_id and d.state = 'leased' and d.node = asked.holder and d.attempts = asked.number
            and d.cancel_at_ms is null and d.latest_key is null and d.order_key is null
            and n.id = d.destination_id and n.state = 'active' and n.opened_at_ms is null
        returning d.seq, asked.*
    )"
);

/// The values of [`ending!`]'s statements.
fn ending_of<'s>(sql: &'static str, part: &[(usize, &'s Settlement)]) -> Asked<'s> {
    let settlements = || part.iter().map(|&(_, settlement)| settlement);
    let attempts = || settlements().map(|one| &one.attempt);
    let exchanges = || attempts().map(|attempt| attempt.exchange.as_ref());
    let ids: Vec<Vec<u8>> = settlements().map(|one| one.claim.delivery().as_bytes().to_vec()).collect();
    let holders: Vec<Vec<u8>> = settlements().map(|one| one.claim.node().as_bytes().to_vec()).collect();
    let numbers: Vec<i64> = settlements().map(|one| i64::from(one.claim.number())).collect();
    let attempt_ids: Vec<&[u8]> = attempts().map(|attempt| &attempt.id.as_bytes()[..]).collect();
    let started: Vec<i64> = attempts().map(|attempt| attempt.started_at.as_millis()).collect();
    let took: Vec<i64> = attempts().map(|attempt| integer(attempt.duration.as_millis())).collect();
    let outcomes: Vec<&str> = attempts().map(|attempt| outcome_text(attempt.outcome)).collect();
    let signed: Vec<String> = attempts().map(|attempt| json_text(&attempt.signed_by)).collect();
    let statuses: Vec<Option<i64>> = attempts().map(|attempt| attempt.status.map(i64::from)).collect();
    let codes: Vec<Option<i64>> = attempts().map(|attempt| attempt.exit_code.map(i64::from)).collect();
    let excerpts: Vec<&[u8]> = attempts().map(|attempt| &attempt.excerpt[..]).collect();
    let details: Vec<_> = attempts().map(|attempt| sayable(&attempt.detail)).collect();
    let nodes: Vec<Option<&[u8]>> = attempts().map(|one| one.node.as_ref().map(|node| &node.as_bytes()[..])).collect();
    let targets: Vec<Option<String>> =
        exchanges().map(|one| one.map(|one| sayable(&format!("{} {}", one.method, one.target)).into_owned())).collect();
    let requests: Vec<Option<Vec<u8>>> =
        exchanges().map(|one| one.map(|one| headers::encode(&one.request_headers))).collect();
    let answered: Vec<Option<Vec<u8>>> =
        exchanges().map(|one| one.map(|one| headers::encode(&one.response_headers))).collect();
    let timings: Vec<Option<String>> = exchanges().map(|one| one.map(|one| json_text(&one.timings))).collect();
    let states: Vec<&str> = settlements().map(|one| state_after(one.next)).collect();
    let ended: Vec<i64> = attempts().map(|one| one.started_at.plus(one.duration).as_millis()).collect();
    let due: Vec<Option<i64>> = settlements().map(|one| due_again(one.next)).collect();
    asked!(
        sql,
        ids,
        holders,
        numbers,
        attempt_ids,
        started,
        took,
        outcomes,
        signed,
        statuses,
        codes,
        excerpts,
        details,
        nodes,
        targets,
        requests,
        answered,
        timings,
        states,
        ended,
        due
    )
}

/// The state of a delivery that has to do with no other, at a destination that takes deliveries.
fn state_after(next: Next) -> &'static str {
    match next {
        Next::Delivered => "delivered",
        Next::Exhausted => "exhausted",
        Next::Held | Next::Parked => "held",
        Next::Cancelled => "cancelled",
        Next::Again { .. } => "pending",
    }
}

fn due_again(next: Next) -> Option<i64> {
    match next {
        Next::Again { due_at } => Some(due_at.as_millis()),
        Next::Delivered | Next::Exhausted | Next::Held | Next::Parked | Next::Cancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::IN_ORDER;
    use crate::store::postgres::plans::Plans;

    /// All the tables are empty, so that any index seems as good as another.
    #[test]
    fn leases_are_found_in_order_and_given_by_id_however_small_the_table_was() {
        let Some(plans) = Plans::open() else { return };
        let [lease, first] = &plans.told(IN_ORDER, &[LEASE.to_owned(), FIRST.to_owned()])[..] else {
            panic!("there are two plans")
        };
        let walked = |plan: &[String]| -> Vec<String> {
            let walked =
                plan.iter().filter(|step| step.contains(" on deliveries_outstanding") && step.contains("Scan"));
            let index = |step: &String| step.split(" using ").nth(1)?.split(' ').next().map(str::to_owned);
            walked.map(|step| index(step).unwrap_or_else(|| step.clone())).collect()
        };
        assert_eq!(walked(lease), ["deliveries_outstanding_due", "deliveries_outstanding_id_idx"], "{lease:#?}");
        assert_eq!(walked(first), ["deliveries_outstanding_due"], "{first:#?}");
        let sorted: Vec<_> = lease.iter().chain(first).filter(|step| step.contains("Sort Key")).collect();
        assert_eq!(sorted.len(), 1, "only what was leased: {lease:#?}");
    }

    #[test]
    fn nothing_that_a_lease_sets_is_in_an_index() {
        let Some(plans) = Plans::open() else { return };
        let set = ["state", "state_at_ms", "leased_until_ms", "node", "attempts"];
        let asked = "select indexdef from pg_indexes where tablename = 'deliveries_outstanding'";
        let indexes = plans.asked(asked);
        assert!(indexes.len() > 4, "{indexes:?}");
        for index in &indexes {
            let words: Vec<&str> = index.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            assert!(set.iter().all(|column| !words.contains(column)), "{index}");
        }
    }
}
