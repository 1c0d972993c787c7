-- `leased_until_ms`: when the lease ends, while it is leased. `due_at_ms` stays what it was before it.
alter table deliveries add column leased_until_ms integer;
update deliveries set leased_until_ms = due_at_ms where due_at_ms is not null and state = 'leased';
