-- What was declared, and by whom. `declared` is the table as it was given, as JSON: references are kept as references, and
-- no secret stands in it. What a file manages is read-only elsewhere.
alter table sources add column declared text not null default '{}';
alter table sources add column managed_by text not null default 'file' check (managed_by = 'file' or managed_by = 'api');
alter table destinations add column declared text not null default '{}';
alter table destinations add column managed_by text not null default 'file'
    check (managed_by = 'file' or managed_by = 'api');
