-- What the migrations up to 0014 come to; PostgreSQL joined then. Columns mean what they mean there, where they are
-- explained. Ids are the 16 bytes of a UUID, times are milliseconds since the Unix epoch (`_ms`).

-- What statements that are written for both databases ask for.
create function min(bigint, bigint) returns bigint language sql immutable strict parallel safe as 'select least($1, $2)';
create function max(bigint, bigint) returns bigint language sql immutable strict parallel safe as 'select greatest($1, $2)';
create function hex(bytea) returns text language sql immutable strict parallel safe as 'select upper(encode($1, ''hex''))';
create function json_extract(text, text) returns text language sql immutable strict parallel safe
    as 'select jsonb_path_query_first($1::jsonb, $2::jsonpath) #>> ''{}''';
-- `*` is any text, `[?]` and `[[]` are themselves.
create function glob(text, text) returns boolean language sql immutable strict parallel safe
    as $$ select $2 ~ ('^' || replace(regexp_replace($1, '([.^$+(){}|\\])', '\\\1', 'g'), '*', '.*') || '$') $$;

create table organizations (
    id bytea primary key check (length(id) = 16),
    name text not null unique,
    key_prefix text not null,
    created_at_ms bigint not null,
    erasing_at_ms bigint
);

insert into organizations (id, name, key_prefix, created_at_ms) values ('\x01900000000070008000000000000001', 'default', 'hookward', 0);

create table sources (
    id bytea primary key check (length(id) = 16),
    organization_id bytea not null check (length(organization_id) = 16),
    name text not null,
    spec text not null,
    created_at_ms bigint not null,
    removed_at_ms bigint,
    declared text not null default '{}',
    managed_by text not null default 'file' check (managed_by in ('file', 'api')),
    unique (organization_id, name)
);

create table destinations (
    id bytea primary key check (length(id) = 16),
    organization_id bytea not null check (length(organization_id) = 16),
    name text not null,
    spec text not null,
    state text not null check (state in ('active', 'paused', 'disabled')),
    disabled_reason text check ((disabled_reason is not null) = (state = 'disabled')),
    created_at_ms bigint not null,
    pulled smallint not null default 0 check (pulled between 0 and 1),
    declared text not null default '{}',
    managed_by text not null default 'file' check (managed_by in ('file', 'api')),
    failing_since_ms bigint,
    opened_at_ms bigint,
    probe_at_ms bigint,
    opens bigint not null default 0,
    closed_at_ms bigint,
    unique (organization_id, name)
);

create table secrets (
    owner_kind text not null check (owner_kind in ('source', 'destination')),
    owner_id bytea not null check (length(owner_id) = 16),
    version bigint not null check (version > 0),
    key_id text not null,
    wrapped_key bytea not null,
    ciphertext bytea not null,
    not_before_ms bigint not null,
    not_after_ms bigint,
    revoked_at_ms bigint,
    created_at_ms bigint not null,
    origin text not null,
    first_used_at_ms bigint,
    last_used_at_ms bigint,
    uses bigint not null default 0,
    purpose text not null default '',
    last_accepted_at_ms bigint,
    primary key (owner_kind, owner_id, version)
);

create table meta (name text primary key, value bytea not null);

create table event_types (
    organization_id bytea not null check (length(organization_id) = 16),
    name text not null,
    spec text not null,
    created_at_ms bigint not null,
    declared text not null,
    managed_by text not null check (managed_by in ('file', 'api')),
    primary key (organization_id, name)
);

create table schemes (
    organization_id bytea not null check (length(organization_id) = 16),
    name text not null,
    toml text not null,
    version bigint not null check (version > 0),
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    declared text not null,
    managed_by text not null check (managed_by in ('file', 'api')),
    primary key (organization_id, name)
);

-- By what days are reckoned: see below.
create function now_ms() returns bigint language sql stable as 'select floor(extract(epoch from now()) * 1000)::bigint';

-- The large tables are split by ranges of places, which are days: see `store/postgres/days.rs`, which makes the partitions.
create sequence events_seq; create sequence deliveries_seq; create sequence attempts_seq;

create table events (
    seq bigint not null default nextval('events_seq') primary key,
    id bytea not null check (length(id) = 16),
    organization_id bytea not null,
    source_id bytea not null,
    source_name text not null,
    event_type text not null,
    delivery_id text,
    received_at_ms bigint not null,
    verdict text not null,
    method text not null,
    target text not null,
    remote text not null,
    headers bytea not null,
    body_len bigint not null,
    body_sha256 bytea not null,
    duplicate_of bytea,
    body_seq bigint,
    stripped_at_ms bigint,
    row_until_ms bigint
) partition by range (seq);

create index events_by_id on events (id);
create index events_by_source on events (source_id, seq);
create index events_by_type on events (event_type, seq);
create index events_duplicates_by_delivery_id on events (delivery_id) where duplicate_of is not null;
create index events_duplicates on events (seq) where duplicate_of is not null;
create index events_row_until on events (row_until_ms) where row_until_ms is not null;
create index events_sharing_bodies on events (body_seq) where body_seq is not null;
create index events_by_organization on events (organization_id, seq)
    where organization_id <> '\x01900000000070008000000000000001';

-- Packed before they come here.
create table bodies (
    event_seq bigint primary key,
    packing smallint not null check (packing between 0 and 1),
    bytes bytea not null
) partition by range (event_seq);
alter table bodies alter column bytes set storage external;

create table dedup (
    source_id bytea not null,
    kind smallint not null check (kind between 1 and 3),
    key bytea not null,
    event_seq bigint not null,
    expires_at_ms bigint not null,
    primary key (source_id, kind, key)
) partition by hash (key);

do $$ begin for n in 0..7 loop
    execute format('create table dedup_%s partition of dedup for values with (modulus 8, remainder %s)', n, n);
end loop; end $$;

create index dedup_by_expiry on dedup (expires_at_ms);

-- What is outstanding stands apart from the rest: a small table, whose rows are deleted when they are done. PostgreSQL moves
-- a row when its `due_at_ms` comes or goes.
create table deliveries (
    seq bigint not null default nextval('deliveries_seq'),
    id bytea not null check (length(id) = 16),
    event_seq bigint not null,
    destination_id bytea not null,
    cause text not null check (cause in ('event', 'redelivery', 'test')),
    cause_of bytea,
    created_at_ms bigint not null,
    attempts bigint not null default 0,
    state text not null,
    state_at_ms bigint not null,
    due_at_ms bigint,
    node bytea,
    cancel_at_ms bigint,
    latest_key bytea,
    superseded_by bytea,
    pulled smallint not null default 0 check (pulled between 0 and 1),
    organization_id bytea not null,
    order_key bytea,
    behind smallint not null default 0 check (behind between 0 and 3),
    skipped bigint not null default 0,
    probes bigint not null default 0,
    resume_at_ms bigint,
    check (state in ('pending', 'leased', 'delivered', 'exhausted', 'cancelled', 'held')),
    check ((due_at_ms is not null) = (state in ('pending', 'leased'))),
    check ((node is not null) = (state = 'leased'))
) partition by list ((due_at_ms is null));

create table deliveries_outstanding partition of deliveries for values in (false)
    with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, vacuum_truncate = false,
        autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 10000);
create table deliveries_rest partition of deliveries for values in (true) partition by range (seq);

create index deliveries_by_id on deliveries (id);
create index deliveries_by_event on deliveries (event_seq);
create index deliveries_by_destination on deliveries (destination_id, seq);
create index deliveries_latest on deliveries (destination_id, latest_key) where latest_key is not null;
create index deliveries_ordered on deliveries (destination_id, order_key, behind, seq) where order_key is not null;
create index deliveries_by_organization on deliveries (organization_id, seq)
    where organization_id <> '\x01900000000070008000000000000001';
create index deliveries_held on deliveries (destination_id, behind, resume_at_ms) where state = 'held';
create index deliveries_held_by_event on deliveries (event_seq) where state = 'held';
create unique index deliveries_outstanding_seq on deliveries_outstanding (seq);
create index deliveries_outstanding_due on deliveries_outstanding (destination_id, due_at_ms, seq);
create unique index deliveries_rest_seq on deliveries_rest (seq);
create index deliveries_rest_by_state on deliveries_rest (state, seq);

create table attempts (
    seq bigint not null default nextval('attempts_seq'),
    delivery_seq bigint not null,
    number bigint not null check (number > 0),
    id bytea not null check (length(id) = 16),
    started_at_ms bigint not null,
    duration_ms bigint not null,
    outcome text not null,
    signed_by text not null,
    status bigint,
    exit_code bigint,
    excerpt bytea not null,
    detail text not null,
    node bytea,
    target text,
    request_headers bytea,
    response_headers bytea,
    timings text,
    primary key (delivery_seq, number)
) partition by range (delivery_seq);

create index attempts_by_seq on attempts (seq);
create index attempts_by_id on attempts (id);

create table outputs (
    delivery_seq bigint not null,
    number bigint not null,
    total_bytes bigint not null,
    packing smallint not null check (packing between 0 and 1),
    bytes bytea not null,
    primary key (delivery_seq, number)
) partition by range (delivery_seq);

create table once (
    destination_id bytea not null,
    source_id bytea not null,
    key bytea not null,
    event_seq bigint not null,
    delivery_seq bigint not null,
    primary key (destination_id, source_id, key)
);

create index once_by_event on once (event_seq);

create table passed_over (
    event_seq bigint not null,
    destination_id bytea not null,
    reason text not null check (reason in ('filter_failed', 'once')),
    detail text not null,
    first_event bytea,
    primary key (event_seq, destination_id)
) partition by range (event_seq);

create table refused (
    seq bigint generated always as identity primary key,
    id bytea not null unique check (length(id) = 16),
    organization_id bytea not null,
    door text not null,
    at_ms bigint not null,
    reason text not null,
    explanation text not null,
    detail text not null,
    method text not null,
    target text not null,
    remote text not null,
    headers bytea not null,
    body_len bigint not null,
    body_start bytea not null,
    count bigint not null check (count > 0)
);

create index refused_by_door on refused (organization_id, door, seq);

create table jobs (
    seq bigint generated always as identity primary key,
    id bytea not null unique check (length(id) = 16),
    organization_id bytea not null,
    spec text not null,
    state text not null,
    problem text not null,
    start_seq bigint not null,
    next_seq bigint not null,
    end_seq bigint not null,
    looked_at bigint not null,
    matched bigint not null,
    redelivered bigint not null,
    actor text not null,
    created_at_ms bigint not null,
    updated_at_ms bigint not null
);

create index jobs_running on jobs (seq) where state = 'running';
create index jobs_by_organization on jobs (organization_id, seq);

-- Whoever commits only adds rows to what changes: a row that all of them update would make each wait for the one before,
-- and would be dead so often that finding it takes ever longer while somebody holds an old snapshot.
create table source_totals_folded (
    source_id bytea primary key check (length(source_id) = 16),
    events bigint not null,
    body_bytes bigint not null
);

create table source_total_changes (source_id bytea not null, events bigint not null, body_bytes bigint not null);

create view source_totals as
    select source_id, cast(sum(events) as bigint) as events, cast(sum(body_bytes) as bigint) as body_bytes
    from (select * from source_totals_folded union all select * from source_total_changes) as known
    group by source_id;

create rule forget_source_totals as on delete to source_totals do instead (
    delete from source_totals_folded where source_id = old.source_id;
    delete from source_total_changes where source_id = old.source_id;
);

create table secret_use_changes (
    owner_kind text not null,
    owner_id bytea not null,
    version bigint not null,
    count bigint not null,
    first_ms bigint not null,
    last_ms bigint not null,
    accepted_ms bigint
);

create view secrets_used as
    select s.owner_kind, s.owner_id, s.version, s.key_id, s.wrapped_key, s.ciphertext, s.not_before_ms, s.not_after_ms,
        s.revoked_at_ms, s.created_at_ms, s.origin, s.purpose, s.uses + coalesce(c.count, 0) as uses,
        least(s.first_used_at_ms, c.first_ms) as first_used_at_ms, greatest(s.last_used_at_ms, c.last_ms) as last_used_at_ms,
        greatest(s.last_accepted_at_ms, c.accepted_ms) as last_accepted_at_ms
    from secrets s
    left join (
        select owner_kind, owner_id, version, cast(sum(count) as bigint) as count, min(first_ms) as first_ms,
            max(last_ms) as last_ms, max(accepted_ms) as accepted_ms
        from secret_use_changes group by owner_kind, owner_id, version
    ) as c using (owner_kind, owner_id, version);

create table api_keys (
    seq bigint generated always as identity primary key,
    id bytea not null unique check (length(id) = 16),
    organization_id bytea not null references organizations (id),
    name text not null,
    digest bytea not null unique check (length(digest) = 32),
    prefix text not null,
    last_four text not null,
    scopes text not null,
    created_by text not null,
    created_at_ms bigint not null,
    expires_at_ms bigint,
    last_used_at_ms bigint,
    revoked_at_ms bigint
);

create index api_keys_by_organization on api_keys (organization_id, seq);
create unique index api_keys_by_name on api_keys (organization_id, name) where revoked_at_ms is null;

create table users (
    seq bigint generated always as identity primary key,
    id bytea not null unique check (length(id) = 16),
    organization_id bytea not null references organizations (id),
    email text not null,
    scopes text not null,
    password text,
    totp_sealed text,
    totp_confirmed_at_ms bigint check (totp_confirmed_at_ms is null or totp_sealed is not null),
    totp_step bigint not null default 0,
    created_by text not null,
    created_at_ms bigint not null,
    last_login_at_ms bigint,
    disabled_at_ms bigint,
    unique (organization_id, email)
);

create table user_identities (
    organization_id bytea not null,
    issuer text not null,
    subject text not null,
    user_id bytea not null references users (id) on delete cascade,
    primary key (organization_id, issuer, subject)
);

create index user_identities_by_user on user_identities (user_id);

create table user_invitations (
    user_id bytea primary key references users (id) on delete cascade,
    digest bytea not null unique check (length(digest) = 32),
    expires_at_ms bigint not null
);

create table recovery_codes (
    user_id bytea not null references users (id) on delete cascade,
    digest bytea not null check (length(digest) = 32),
    primary key (user_id, digest)
);

create table sessions (
    id bytea primary key check (length(id) = 16),
    user_id bytea not null references users (id) on delete cascade,
    digest bytea not null unique check (length(digest) = 32),
    address text not null,
    agent text not null,
    created_at_ms bigint not null,
    last_seen_at_ms bigint not null,
    ends_at_ms bigint not null,
    proved_at_ms bigint not null default 0
);

create index sessions_by_user on sessions (user_id);
create index sessions_by_end on sessions (ends_at_ms);

create table audit (
    seq bigint primary key,
    organization_id bytea not null,
    at_ms bigint not null,
    actor text not null,
    address text not null,
    action text not null,
    target text not null,
    detail text not null,
    hash bytea not null check (length(hash) = 32)
);

create index audit_by_organization on audit (organization_id, seq)
    where organization_id <> '\x01900000000070008000000000000001';

create table idempotency (
    organization_id bytea not null,
    request bytea not null,
    fingerprint bytea not null,
    expires_at_ms bigint not null,
    status bigint,
    answer bytea,
    is_whole smallint not null default 1 check (is_whole between 0 and 1),
    primary key (organization_id, request)
);

create index idempotency_expiring on idempotency (expires_at_ms);

create table tally_positions (
    feed text primary key check (feed in ('events', 'attempts', 'audit')),
    position bigint not null
);

create table received_tallies (
    organization_id bytea not null check (length(organization_id) = 16),
    span_ms bigint not null check (span_ms in (60000, 3600000)),
    begins_at_ms bigint not null,
    door text not null,
    accepted bigint not null,
    duplicates bigint not null,
    refused bigint not null,
    primary key (organization_id, span_ms, begins_at_ms, door)
);

create table attempted_tallies (
    organization_id bytea not null check (length(organization_id) = 16),
    span_ms bigint not null check (span_ms in (60000, 3600000)),
    begins_at_ms bigint not null,
    destination_id bytea not null check (length(destination_id) = 16),
    succeeded bigint not null,
    failed bigint not null,
    failed_at_ms bigint,
    failure text check ((failure is null) = (failed_at_ms is null)),
    primary key (organization_id, span_ms, begins_at_ms, destination_id)
);

create table latency_tallies (
    organization_id bytea not null check (length(organization_id) = 16),
    span_ms bigint not null check (span_ms in (60000, 3600000)),
    begins_at_ms bigint not null,
    place smallint not null check (place between 0 and 255),
    count bigint not null,
    primary key (organization_id, span_ms, begins_at_ms, place)
);

-- Every node reads it twice a second: `declared` rises with every change to what is declared, or to a destination's
-- condition.
create table revision (declared bigint not null);

insert into revision (declared) values (0);
