-- Tenants. Everything belongs to one; the default one, which was always there, also operates the installation.

-- `key_prefix`: what its API keys begin with. `erasing_at_ms`: set once its erasure has begun.
create table organizations (
    id blob primary key check (length(id) = 16),
    name text not null unique,
    key_prefix text not null,
    created_at_ms integer not null,
    erasing_at_ms integer
) strict;

insert into organizations (id, name, key_prefix, created_at_ms)
    values (x'01900000000070008000000000000001', 'default', 'hookward', 0);

alter table refused add column organization_id blob not null default x'01900000000070008000000000000001';
drop index refused_by_door;
create index refused_by_door on refused (organization_id, door);

-- `address`: where the actor was.
alter table audit add column organization_id blob not null default x'01900000000070008000000000000001';
alter table audit add column address text not null default '';
create index audit_by_organization on audit (organization_id)
    where organization_id <> x'01900000000070008000000000000001';

-- Lists of an organization other than the default one walk these; an event of the default one, which most
-- installations only have, pays for none.
create index events_by_organization on events (organization_id)
    where organization_id <> x'01900000000070008000000000000001';
create index jobs_by_organization on jobs (organization_id);

alter table deliveries add column organization_id blob not null default x'01900000000070008000000000000001';
create index deliveries_by_organization on deliveries (organization_id)
    where organization_id <> x'01900000000070008000000000000001';
