-- What happened, counted by minute and by hour (`span_ms`), for pages that show how things went. Made behind the traffic out of
-- `events`, `attempts` and `audit`; nothing on the way of an event reads or writes here.

-- How far each of them is counted.
create table tally_positions (
    feed text primary key check (feed = 'events' or feed = 'attempts' or feed = 'audit'),
    position integer not null
) strict, without rowid;

-- `door`: a source's name, or a path (from its `/`) at which no source could be told.
create table received_tallies (
    organization_id blob not null check (length(organization_id) = 16),
    span_ms integer not null check (span_ms = 60000 or span_ms = 3600000),
    begins_at_ms integer not null,
    door text not null,
    accepted integer not null,
    duplicates integer not null,
    refused integer not null,
    primary key (organization_id, span_ms, begins_at_ms, door)
) strict, without rowid;

-- `failure`: what the last attempt that failed in this span said, at `failed_at_ms`.
create table attempted_tallies (
    organization_id blob not null check (length(organization_id) = 16),
    span_ms integer not null check (span_ms = 60000 or span_ms = 3600000),
    begins_at_ms integer not null,
    destination_id blob not null check (length(destination_id) = 16),
    succeeded integer not null,
    failed integer not null,
    failed_at_ms integer,
    failure text check ((failure is null) = (failed_at_ms is null)),
    primary key (organization_id, span_ms, begins_at_ms, destination_id)
) strict, without rowid;

-- `place`: which lapses are counted together.
create table latency_tallies (
    organization_id blob not null check (length(organization_id) = 16),
    span_ms integer not null check (span_ms = 60000 or span_ms = 3600000),
    begins_at_ms integer not null,
    place integer not null check (place between 0 and 255),
    count integer not null,
    primary key (organization_id, span_ms, begins_at_ms, place)
) strict, without rowid;
