-- When the user of a session last proved in it who they are: what is grave asks for that to be a short while ago.
alter table sessions add column proved_at_ms integer not null default 0;
update sessions set proved_at_ms = created_at_ms;
