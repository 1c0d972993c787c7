-- Rows in every table but the audit log, which is chained. `1200` rows at least in those that grow.
create temp table n (i integer primary key);
insert into n with recursive n (i) as (select 1 union all select i + 1 from n where i < 6000) select i from n;

create temp view id as select i, cast(printf('%016d', i) as blob) as b, cast(printf('%032d', i) as blob) as d from n;

insert into organizations select b, 'org ' || i, 'key', i, nullif(i % 2, 0) from id where i <= 5;
insert into sources select b, b, 'source ' || i, '{"ä":"\u0000"}', i, null, '{}', 'api' from id where i <= 3;
insert into destinations
    select b, b, 'to ' || i, '{}', iif(i = 1, 'disabled', 'active'), iif(i = 1, 'gone', null), i, 0, '{}', 'file', null, null, null, 0, i
    from id where i <= 3;
insert into secrets (owner_kind, owner_id, version, key_id, wrapped_key, ciphertext, not_before_ms, created_at_ms, origin)
    select 'source', b, 1, 'local:01234567', d, d, 1, 1, 'generated' from id where i <= 3
    union all select 'destination', b, 1, 'local:01234567', d, d, 1, 1, 'generated' from id where i <= 3;
insert into meta select 'name ' || i || iif(i % 2, 'Ä', 'a'), b from id where i <= 40;
insert into event_types select b, 'Type' || i, '{}', i, '{}', 'api' from id where i <= 30
    union all select b, 'type' || i, '{}', i, '{}', 'api' from id where i <= 30;
insert into schemes select b, 'scheme ' || i, 'toml', i, i, i, '{}', 'file' from id where i <= 30;
insert into events (seq, id, organization_id, source_id, source_name, event_type, delivery_id, received_at_ms, verdict, method, target,
        remote, headers, body_len, body_sha256)
    select i * 2, b, b, b, 's', 'type ' || i, iif(i % 3, null, 'd ' || i), i, '{}', 'POST', '/', '', x'01', i, d from id;
-- The newest ones were removed since.
delete from events where seq > 11900;
insert into bodies select seq, 0, cast(zeroblob(seq % 300) || x'ff00' as blob) from events;
insert into dedup select b, 1 + i % 3, d, i, i from id;
insert into deliveries (seq, id, event_seq, destination_id, cause, created_at_ms, state, state_at_ms, due_at_ms, organization_id)
    select i, b, i * 2, (select id from destinations limit 1), 'event', i, iif(i % 5, 'delivered', 'pending'), i, iif(i % 5, null, i), b
    from id where i <= 5900;
insert into attempts (seq, delivery_seq, number, id, started_at_ms, duration_ms, outcome, signed_by, excerpt, detail)
    select i, i, 1, b, i, 3, 'success', '[1]', x'00ff', 'a detail' from id where i <= 5900;
insert into outputs select i, 1, 16, 0, b from id where i <= 50;
insert into once select b, b, d, i, i from id where i <= 50;
insert into passed_over select i, b, 'once', '', null from id where i <= 50;
insert into refused select i, b, 'door', i, 'signature', '', '', 'POST', '/', '', x'01', 3, x'000102', 1, b from id where i <= 50;
insert into jobs select i, b, b, '{}', 'running', '', 1, 2, 3, 4, 5, 6, 'me', 7, 8 from id where i <= 5;
insert into jobs select 9, d, b, '{}', 'running', '', 1, 2, 3, 4, 5, 6, 'me', 7, 8 from (select substr(d, 1, 16) as d, b from id where i = 9);
delete from jobs where seq = 9;
insert into source_totals select b, i, i from id where i <= 3;
insert into api_keys select i, b, b, 'key ' || i, d, 'p', 'last', 'read', 'me', i, null, null, null from id where i <= 5;
insert into users (seq, id, organization_id, email, scopes, totp_step, created_by, created_at_ms)
    select i, b, b, 'Ä' || i || '@example.com', 'read', 0, 'me', i from id where i <= 5;
insert into user_identities select b, 'issuer', 'subject', b from id where i <= 5;
insert into user_invitations select b, d, i from id where i <= 5;
insert into recovery_codes select b, d from id where i <= 5;
insert into sessions select b, b, d, '', '', i, i, i, i from id where i <= 5;
insert into idempotency (organization_id, request, fingerprint, expires_at_ms) select b, d, d, i from id where i <= 50;
insert into tally_positions values ('events', 7), ('attempts', 8), ('audit', 9);
insert into received_tallies select b, 60000, i, 'door', 1, 2, 3 from id where i <= 1200;
insert into attempted_tallies select b, 60000, i, b, 1, 2, null, null from id where i <= 1200;
insert into latency_tallies select b, 3600000, i, i % 256, 1 from id where i <= 1200;
