-- What an event does besides being delivered: it runs once for a value, supersedes older runs, is passed over; what
-- programs wrote; what was refused; what operators have under way; what retention took away.

-- `cancel_at_ms`: called off while leased; the end of its attempt, unless that succeeded, or of its lease makes it
-- cancelled.
-- `latest_key`: set until the delivery ends or a newer event supersedes it, where the newest of a key wins.
-- `superseded_by`: the event that made it superfluous.
-- An outcome told to another destination is a delivery with cause 'event' and the delivery it tells of in `cause_of`.
alter table deliveries add column cancel_at_ms integer;
alter table deliveries add column latest_key blob;
alter table deliveries add column superseded_by blob;

-- `pulled`: of a destination whose consumers lease what they are owed, in the order of commits.
alter table destinations add column pulled integer not null default 0 check (pulled between 0 and 1);
alter table deliveries add column pulled integer not null default 0 check (pulled between 0 and 1);

create index deliveries_pulled on deliveries (destination_id) where pulled = 1 and due_at_ms is not null;
create index deliveries_latest on deliveries (destination_id, latest_key) where latest_key is not null;

-- The event of each value of a destination's `once_per` that ran, and the delivery it ran in. It gives way once that
-- delivery is exhausted or called off.
create table once (
    destination_id blob not null,
    source_id blob not null,
    key blob not null,
    event_seq integer not null,
    delivery_seq integer not null,
    primary key (destination_id, source_id, key)
) strict, without rowid;

create index once_by_event on once (event_seq);

-- Why a destination that hears an event is not owed it, where that is worth saying: a filter that failed, a value that
-- ran before (`first_event`). An event that a filter simply does not let through has no row.
create table passed_over (
    event_seq integer not null,
    destination_id blob not null,
    reason text not null check (reason = 'filter_failed' or reason = 'once'),
    detail text not null,
    first_event blob,
    primary key (event_seq, destination_id)
) strict, without rowid;

-- `exit_code`: of a program that ended with a status.
alter table attempts add column exit_code integer;

-- What a program wrote during an attempt, its two ends if it was much. `packing` as in `bodies`.
create table outputs (
    delivery_seq integer not null,
    number integer not null,
    total_bytes integer not null,
    packing integer not null check (packing between 0 and 1),
    bytes blob not null,
    primary key (delivery_seq, number)
) strict, without rowid;

-- The last refused requests of each door, for the operator. `door` is a source's name, or the path (from its `/`) where
-- no source could be told. `count` is how many like it came in the same moment.
create table refused (
    seq integer primary key autoincrement,
    id blob not null unique check (length(id) = 16),
    door text not null,
    at_ms integer not null,
    reason text not null,
    explanation text not null,
    detail text not null,
    method text not null,
    target text not null,
    remote text not null,
    headers blob not null,
    body_len integer not null,
    body_start blob not null,
    count integer not null check (count > 0)
) strict;

create index refused_by_door on refused (door);

-- Redeliveries of many events at once. `start_seq` is the first event's, `next_seq` where the job goes on, `end_seq` the
-- last event's: later ones are not the job's.
create table jobs (
    seq integer primary key autoincrement,
    id blob not null unique check (length(id) = 16),
    organization_id blob not null,
    spec text not null,
    state text not null,
    problem text not null,
    start_seq integer not null,
    next_seq integer not null,
    end_seq integer not null,
    looked_at integer not null,
    matched integer not null,
    redelivered integer not null,
    actor text not null,
    created_at_ms integer not null,
    updated_at_ms integer not null
) strict;

create index jobs_running on jobs (seq) where state = 'running';

-- What is kept of each source, so that retention by size need not count: events that are not stripped, and the bodies of
-- its events in their raw length, each once however many events share it.
create table source_totals (
    source_id blob primary key check (length(source_id) = 16),
    events integer not null,
    body_bytes integer not null
) strict, without rowid;

insert into source_totals (source_id, events, body_bytes)
    select source_id, count(*), sum(case when body_seq is null then body_len else 0 end) from events group by source_id;

-- Retention takes body, headers, deliveries and attempts first (`stripped_at_ms`), and the row itself only when no
-- dedup key leads to it any more (`row_until_ms`, set with the other): an old request sent again must still be known.
-- A body that later duplicates share stays where it is until the last of them is stripped.
alter table events add column stripped_at_ms integer;
alter table events add column row_until_ms integer;
create index events_row_until on events (row_until_ms) where row_until_ms is not null;
create index events_sharing_bodies on events (body_seq) where body_seq is not null;
