-- The private schemes of an organization. `toml`: the scheme file as it was given; `version` counts how often it was;
-- `declared` and `managed_by` as of sources and destinations.
create table schemes (
    organization_id blob not null check (length(organization_id) = 16),
    name text not null,
    toml text not null,
    version integer not null check (version > 0),
    created_at_ms integer not null,
    updated_at_ms integer not null,
    declared text not null,
    managed_by text not null check (managed_by = 'file' or managed_by = 'api'),
    primary key (organization_id, name)
) strict, without rowid;
