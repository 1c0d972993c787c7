-- What people and programs prove themselves with. No text that proves anything stands here: API keys, sessions, invitations
-- and recovery codes are random enough that their SHA-256 (`digest`) says nothing of them; passwords are argon2id.

-- `scopes`: a JSON list of names.
create table api_keys (
    seq integer primary key autoincrement,
    id blob not null unique check (length(id) = 16),
    organization_id blob not null references organizations (id),
    name text not null,
    digest blob not null unique check (length(digest) = 32),
    prefix text not null,
    last_four text not null,
    scopes text not null,
    created_by text not null,
    created_at_ms integer not null,
    expires_at_ms integer,
    last_used_at_ms integer,
    revoked_at_ms integer
) strict;

create index api_keys_by_organization on api_keys (organization_id);
-- The audit log names a key by its name.
create unique index api_keys_by_name on api_keys (organization_id, name) where revoked_at_ms is null;

-- `email`: in lower case. `password`: null until the invitation is accepted, and for who only signs in elsewhere.
-- `totp_*`: the sealed key of the second factor, in force once it is confirmed; `totp_step` is the last one used.
create table users (
    seq integer primary key autoincrement,
    id blob not null unique check (length(id) = 16),
    organization_id blob not null references organizations (id),
    email text not null,
    scopes text not null,
    password text,
    totp_sealed text,
    totp_confirmed_at_ms integer check (totp_confirmed_at_ms is null or totp_sealed is not null),
    totp_step integer not null default 0,
    created_by text not null,
    created_at_ms integer not null,
    last_login_at_ms integer,
    disabled_at_ms integer,
    unique (organization_id, email)
) strict;

-- Who a user is at an OpenID Connect provider.
create table user_identities (
    organization_id blob not null,
    issuer text not null,
    subject text not null,
    user_id blob not null references users (id) on delete cascade,
    primary key (organization_id, issuer, subject)
) strict, without rowid;

create index user_identities_by_user on user_identities (user_id);

-- At most one for each user: the right to set a password, once.
create table user_invitations (
    user_id blob primary key references users (id) on delete cascade,
    digest blob not null unique check (length(digest) = 32),
    expires_at_ms integer not null
) strict, without rowid;

create table recovery_codes (
    user_id blob not null references users (id) on delete cascade,
    digest blob not null check (length(digest) = 32),
    primary key (user_id, digest)
) strict, without rowid;

create table sessions (
    id blob primary key check (length(id) = 16),
    user_id blob not null references users (id) on delete cascade,
    digest blob not null unique check (length(digest) = 32),
    address text not null,
    agent text not null,
    created_at_ms integer not null,
    last_seen_at_ms integer not null,
    ends_at_ms integer not null
) strict, without rowid;

create index sessions_by_user on sessions (user_id);
create index sessions_by_end on sessions (ends_at_ms);
