-- What the corridor keeps. Ids are the 16 bytes of a UUID, times are milliseconds since the Unix epoch (`_ms`).
-- Every index below is paid for by each event or delivery; what it buys stands beside it. Checks on the way of an event
-- are comparisons: for a list of three or more, `in` makes a temporary table each time a statement runs.

create table sources (
    id blob primary key check (length(id) = 16),
    organization_id blob not null check (length(organization_id) = 16),
    name text not null,
    spec text not null,
    created_at_ms integer not null,
    removed_at_ms integer,
    unique (organization_id, name)
) strict;

create table destinations (
    id blob primary key check (length(id) = 16),
    organization_id blob not null check (length(organization_id) = 16),
    name text not null,
    spec text not null,
    state text not null check (state in ('active', 'paused', 'disabled')),
    disabled_reason text check ((disabled_reason is not null) = (state = 'disabled')),
    created_at_ms integer not null,
    unique (organization_id, name)
) strict;

-- Secret values are sealed before they come here.
create table secrets (
    owner_kind text not null check (owner_kind in ('source', 'destination')),
    owner_id blob not null check (length(owner_id) = 16),
    version integer not null check (version > 0),
    key_id text not null,
    wrapped_key blob not null,
    ciphertext blob not null,
    not_before_ms integer not null,
    not_after_ms integer,
    revoked_at_ms integer,
    created_at_ms integer not null,
    origin text not null,
    first_used_at_ms integer,
    last_used_at_ms integer,
    uses integer not null default 0,
    primary key (owner_kind, owner_id, version)
) strict, without rowid;

create table meta (
    name text primary key,
    value blob not null
) strict, without rowid;

-- `seq` is the order of commits and the cursor of lists; it is never used twice.
-- `body_seq` is set on a duplicate whose body equals its original's: the row of `bodies` that it shares.
create table events (
    seq integer primary key autoincrement,
    id blob not null unique check (length(id) = 16),
    organization_id blob not null,
    source_id blob not null,
    source_name text not null,
    event_type text not null,
    delivery_id text,
    received_at_ms integer not null,
    verdict text not null,
    method text not null,
    target text not null,
    remote text not null,
    headers blob not null,
    body_len integer not null,
    body_sha256 blob not null,
    duplicate_of blob,
    body_seq integer
) strict;

-- Lists filtered by source, by type: entries go to the end of a few runs.
create index events_by_source on events (source_id);
create index events_by_type on events (event_type);
-- An operator comes with a sender's delivery id in hand. An original is found by its row in `dedup`: an index of random
-- ids would cost each event a page of its own. A duplicate's id is not remembered there.
create index events_duplicates_by_delivery_id on events (delivery_id) where duplicate_of is not null;
-- Lists of duplicates; nothing is written here for an original.
create index events_duplicates on events (seq) where duplicate_of is not null;

-- Apart from `events`, so that lists do not step over bodies and bodies can move elsewhere.
-- `packing`: 0 the raw bytes, 1 an LZ4 block of them.
create table bodies (
    event_seq integer primary key references events (seq),
    packing integer not null check (packing between 0 and 1),
    bytes blob not null
) strict;

-- `kind`: 1 delivery id, 2 body, 3 idempotency key. A key past `expires_at_ms` counts as absent.
create table dedup (
    source_id blob not null,
    kind integer not null check (kind between 1 and 3),
    key blob not null,
    event_seq integer not null,
    expires_at_ms integer not null,
    primary key (source_id, kind, key)
) strict, without rowid;

create index dedup_by_expiry on dedup (expires_at_ms);

-- `due_at_ms` is set exactly while the delivery is outstanding: when it may be attempted (pending) or when its lease
-- ends (leased). `state_at_ms` is when it came into its state.
create table deliveries (
    seq integer primary key autoincrement,
    id blob not null unique check (length(id) = 16),
    event_seq integer not null references events (seq),
    destination_id blob not null references destinations (id),
    cause text not null check (cause = 'event' or cause = 'redelivery' or cause = 'test'),
    cause_of blob,
    created_at_ms integer not null,
    attempts integer not null default 0,
    state text not null,
    state_at_ms integer not null,
    due_at_ms integer,
    node blob,
    check (state = 'pending' or state = 'leased' or state = 'delivered' or state = 'exhausted' or state = 'cancelled'
        or state = 'held'),
    check ((due_at_ms is not null) = (state in ('pending', 'leased'))),
    check ((node is not null) = (state = 'leased'))
) strict;

-- What `claim` walks; a settled delivery leaves it.
create index deliveries_outstanding on deliveries (destination_id, due_at_ms) where due_at_ms is not null;
create index deliveries_by_event on deliveries (event_seq);
create index deliveries_by_destination on deliveries (destination_id);
create index deliveries_by_state on deliveries (state);

create table attempts (
    seq integer primary key,
    delivery_seq integer not null references deliveries (seq),
    number integer not null check (number > 0),
    id blob not null check (length(id) = 16),
    started_at_ms integer not null,
    duration_ms integer not null,
    outcome text not null,
    signed_by text not null,
    status integer,
    excerpt blob not null,
    detail text not null,
    unique (delivery_seq, number)
) strict;

-- Append-only; positions rise by one.
create table audit (
    seq integer primary key autoincrement,
    at_ms integer not null,
    actor text not null,
    action text not null,
    target text not null,
    detail text not null
) strict;
