-- What is held for a destination, and when a destination came back.

-- `resume_at_ms`: while it is held for its destination's sake, when it was due: what an open breaker holds keeps its
-- schedule.
alter table deliveries add column resume_at_ms integer;

-- What is released, tried as a probe, dropped and counted. Only what is held pays for it.
create index deliveries_held on deliveries (destination_id, behind, resume_at_ms) where state = 'held';

-- `closed_at_ms`: since when its breaker is closed again, until the slow start is over.
alter table destinations add column closed_at_ms integer;
