-- `leased_until_ms`: when the lease ends, while it is leased. `due_at_ms` stays what it was before it.
alter table deliveries add column leased_until_ms bigint;
update deliveries_outstanding set leased_until_ms = due_at_ms where state = 'leased';

-- A lease changes nothing that an index of this table has, so that it is a new version of the row on the same page, if there is
-- room for it. What is held is not here, which the second check tells whoever asks for it.
alter table deliveries_outstanding set (fillfactor = 50),
    add check ((leased_until_ms is not null) = (state = 'leased')),
    add constraint deliveries_outstanding_state check (state in ('pending', 'leased'));

drop index deliveries_held;
drop index deliveries_held_by_event;
create index deliveries_held on deliveries_rest (destination_id, behind, resume_at_ms) where state = 'held';
create index deliveries_held_by_event on deliveries_rest (event_seq) where state = 'held';
