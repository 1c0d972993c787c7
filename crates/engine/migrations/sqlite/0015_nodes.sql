-- The nodes that serve this data, each as it last wrote itself down; rows of those that are long gone are removed.
-- `seen_at_ms`: when, by the database's clock. `declared`: the revision of what is declared that the node has in force.
-- `leases`: deliveries that it is attempting. `clock_ahead_ms`: how far its own clock is ahead of the database's.
create table nodes (
    id blob primary key check (length(id) = 16),
    name text not null,
    address text not null,
    version text not null,
    started_at_ms integer not null,
    seen_at_ms integer not null,
    state text not null check (state = 'serving' or state = 'draining' or state = 'gone'),
    declared integer not null,
    leases integer not null,
    clock_ahead_ms integer not null
) strict, without rowid;
