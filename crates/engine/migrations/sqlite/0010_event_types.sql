-- The types of events that an organization declares. `spec`: what is said of one, its JSON Schema included; `declared` and
-- `managed_by` as of sources and destinations.
create table event_types (
    organization_id blob not null check (length(organization_id) = 16),
    name text not null,
    spec text not null,
    created_at_ms integer not null,
    declared text not null,
    managed_by text not null check (managed_by = 'file' or managed_by = 'api'),
    primary key (organization_id, name)
) strict, without rowid;
