-- One day of the past, with `count` events: what stands in the database already (an event of each source with its
-- deliveries, attempts and audit row) is written again and again, in the places and at the times of day `day`, as
-- `store/postgres/days.rs` counts them. Nothing here knows what a column means that is the same everywhere.
\set first '((:day)::bigint << 38)'
\set begins_ms '(((:day) + 18262)::bigint * 86400000)'

-- What is written again: the first of each source.
create temporary table model as
    select distinct on (e.source_id) e.*, s.name as source from events e join sources s on s.id = e.source_id
    where e.seq >= (select max(last_value) from events_seq) - 1000 order by e.source_id, e.seq;

-- One event in ten is billing's, one in a thousand is of the rare source; of types one is rare.
create temporary table drawn as
    select n, :first + n as seq, :begins_ms + n * 86400000 / (:count) as at_ms,
        case when n % 1000 = 0 then 'rare' when n % 10 = 0 then 'billing' else 'github' end as source,
        case when n % 10000 = 1 then 'release' when n % 3 = 0 then 'issues' else 'push' end as event_type,
        md5(:day || '-' || n) as token, n % 500 = 499 as is_repeat
    from generate_series(0::bigint, (:count) - 1) as n;

create function pg_temp.id_at(at_ms bigint, token text) returns bytea language sql immutable as
    $$ select decode(lpad(to_hex(at_ms), 12, '0') || '7' || substr(token, 1, 3) || '8' || substr(token, 4, 15), 'hex') $$;

insert into events (seq, id, organization_id, source_id, source_name, event_type, delivery_id, received_at_ms, verdict, method,
        target, remote, headers, body_len, body_sha256, duplicate_of)
    select d.seq, pg_temp.id_at(d.at_ms, d.token), m.organization_id, m.source_id, m.source_name, d.event_type, d.token,
        d.at_ms, m.verdict, m.method, m.target, m.remote, m.headers, m.body_len, sha256(d.token::bytea),
        case when d.is_repeat then m.id end
    from drawn d join model m on m.source = d.source order by d.seq;

insert into bodies (event_seq, packing, bytes)
    select d.seq, b.packing, b.bytes from drawn d join model m on m.source = d.source join bodies b on b.event_seq = m.seq
    where not d.is_repeat order by d.seq;

-- One delivery in five hundred is exhausted, one in five thousand was cancelled.
create temporary table owed as
    select row_number() over (order by d.seq, l.seq) - 1 as n, d.seq as event_seq, d.at_ms, md5(d.token || l.seq) as token,
        l.seq as of_seq, case when d.n % 500 = 7 and l.state = 'delivered' then 'exhausted'
            when d.n % 5000 = 11 and l.state = 'delivered' then 'cancelled' else l.state end as state
    from drawn d join model m on m.source = d.source join deliveries_rest l on l.event_seq = m.seq
    where not d.is_repeat;

insert into deliveries (seq, id, event_seq, destination_id, cause, created_at_ms, attempts, state, state_at_ms, organization_id)
    select :first + o.n, pg_temp.id_at(o.at_ms, o.token), o.event_seq, l.destination_id, l.cause, o.at_ms, l.attempts,
        o.state, o.at_ms + 100, l.organization_id
    from owed o join deliveries_rest l on l.seq = o.of_seq order by o.n;

-- What is exhausted ended as the model's exhausted one did.
insert into attempts (seq, delivery_seq, number, id, started_at_ms, duration_ms, outcome, signed_by, status, exit_code, excerpt,
        detail, node, target, request_headers, response_headers, timings)
    select :first + o.n, :first + o.n, 1, pg_temp.id_at(o.at_ms, md5(o.token)), o.at_ms + 50, a.duration_ms, a.outcome,
        a.signed_by, a.status, a.exit_code, a.excerpt, a.detail, a.node, a.target, a.request_headers, a.response_headers, a.timings
    from owed o
    join attempts a on a.number = 1 and a.delivery_seq = case when o.state = 'exhausted'
        then (select seq from deliveries_rest where state = 'exhausted' and event_seq in (select seq from model) limit 1)
        else o.of_seq end
    where o.state <> 'cancelled' order by o.n;

-- Keys are remembered for a day.
insert into dedup (source_id, kind, key, event_seq, expires_at_ms)
    select m.source_id, 1, sha256(d.token::bytea), d.seq, d.at_ms + 86400000
    from drawn d join model m on m.source = d.source
    where not d.is_repeat and d.at_ms + 86400000 > now_ms() order by sha256(d.token::bytea);

insert into audit (seq, organization_id, at_ms, actor, address, action, target, detail, hash)
    select (select max(seq) from audit) + 1 + d.n, a.organization_id, d.at_ms, a.actor, a.address, a.action, a.target, a.detail,
        sha256(d.token::bytea)
    from drawn d join model m on m.source = d.source
    join lateral (select * from audit where action = 'webhook.deliver' and target = 'source:' || m.source limit 1) a on true
    order by d.seq;

insert into source_total_changes (source_id, events, body_bytes)
    select m.source_id, count(*), sum(case when d.is_repeat then 0 else m.body_len end)
    from drawn d join model m on m.source = d.source group by m.source_id;
