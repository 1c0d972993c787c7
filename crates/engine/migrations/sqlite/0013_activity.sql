-- An attempt is looked for by its id. Ids grow with time, so a new one goes to the end of the index.
create index attempts_by_id on attempts (id);
