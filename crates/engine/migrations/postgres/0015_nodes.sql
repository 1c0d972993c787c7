-- The nodes that serve this data, each as it last wrote itself down; rows of those that are long gone are removed.
-- `seen_at_ms`: when, by the database's clock. `declared`: the revision of what is declared that the node has in force.
-- `leases`: deliveries that it is attempting. `clock_ahead_ms`: how far its own clock is ahead of the database's.
create table nodes (
    id bytea primary key check (length(id) = 16),
    name text not null,
    address text not null,
    version text not null,
    started_at_ms bigint not null,
    seen_at_ms bigint not null,
    state text not null check (state in ('serving', 'draining', 'gone')),
    declared bigint not null,
    leases bigint not null,
    clock_ahead_ms bigint not null
) with (fillfactor = 50);

-- Rises with every change to what is declared, and with nothing else: whoever changes something says at which number they
-- looked, and is told if it is another one by then.
alter table revision add column changed bigint not null default 0;
