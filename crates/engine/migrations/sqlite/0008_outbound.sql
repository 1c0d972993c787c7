-- What a destination needs on the way out: several schemes and secrets, an order, a pace, its health; and what was
-- exchanged with it. Only columns are added, so that a large database is not written anew.

-- What a version is for: the scheme that it is a key of, or the setting that it holds. Empty at sources, whose keys are of
-- the one scheme that they have.
alter table secrets add column purpose text not null default '';
-- When an attempt that it signed last succeeded: which of two secrets a receiver knows.
alter table secrets add column last_accepted_at_ms integer;

update secrets set purpose = coalesce(
    (select json_extract(d.spec, '$.signing.scheme') from destinations d where d.id = secrets.owner_id), '')
where owner_kind = 'destination';

-- Signing was one scheme or none; it is a list.
update destinations set spec = json_set(spec, '$.signing',
    case when json_extract(spec, '$.signing') is null then json('[]')
         else json_array(json_extract(spec, '$.signing')) end);

-- `order_key`: set until the delivery is over, where deliveries of a key go out one after the other.
-- `behind`: where it stands in the line of its key. 0: at its head, or in none. 1: it is held because an earlier one is not
-- over; it has no due time, so `claim` never steps over it. 2: it is held, and nobody waits for it. 3: it is over and was
-- the last, and its `order_key` stays until the next of the key has learned from it how many were given up.
-- `skipped`: how many of its key were given up since the last that was delivered.
-- `probes`: attempts that looked whether the destination is back; they do not count for the schedule.
alter table deliveries add column order_key blob;
alter table deliveries add column behind integer not null default 0 check (behind between 0 and 3);
alter table deliveries add column skipped integer not null default 0;
alter table deliveries add column probes integer not null default 0;
create index deliveries_ordered on deliveries (destination_id, order_key, behind) where order_key is not null;

-- `failing_since_ms`: the first failure since the last success. `opened_at_ms`: since when its breaker is open, so that
-- nothing goes out but a probe at `probe_at_ms`; `opens`: how often in a row.
alter table destinations add column failing_since_ms integer;
alter table destinations add column opened_at_ms integer;
alter table destinations add column probe_at_ms integer;
alter table destinations add column opens integer not null default 0;

-- What was sent and what came back. `timings`: JSON, microseconds. `target`: without credentials.
alter table attempts add column node blob;
alter table attempts add column target text;
alter table attempts add column request_headers blob;
alter table attempts add column response_headers blob;
alter table attempts add column timings text;
