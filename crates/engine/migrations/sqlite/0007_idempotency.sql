-- Requests to the API that are to be carried out once, however often they are sent.

-- `request`: a digest of who asks, for what, under which key. `fingerprint`: a keyed digest of the request's body.
-- `status` is null from the moment it is begun until it is known what came of it. `answer` is the answer's body, or
-- what may be kept of one that held a secret (`is_whole` = 0).
create table idempotency (
    organization_id blob not null,
    request blob not null,
    fingerprint blob not null,
    expires_at_ms integer not null,
    status integer,
    answer blob,
    is_whole integer not null default 1 check (is_whole between 0 and 1),
    primary key (organization_id, request)
) strict, without rowid;

create index idempotency_expiring on idempotency (expires_at_ms);
