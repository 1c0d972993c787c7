-- The audit log's rows form a chain: `hash` covers the row and the hash before it. Positions rise by one from 1. What was
-- there before is chained in its order by the step that goes with this, which then drops `audit_unchained`.
drop index audit_by_organization;
alter table audit rename to audit_unchained;

create table audit (
    seq integer primary key,
    organization_id blob not null,
    at_ms integer not null,
    actor text not null,
    address text not null,
    action text not null,
    target text not null,
    detail text not null,
    hash blob not null check (length(hash) = 32)
) strict;

create index audit_by_organization on audit (organization_id)
    where organization_id <> x'01900000000070008000000000000001';
