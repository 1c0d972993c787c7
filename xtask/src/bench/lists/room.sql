-- Room for `bench.days` days before the first one that has its own, as `store/postgres/days.rs` would have made it in time.
do $body$
declare
    of_one text;
    first bigint := floor(extract(epoch from now()) / 86400)::bigint - 18262 - current_setting('bench.days')::bigint;
begin
    foreach of_one in array array['events', 'bodies', 'passed_over', 'deliveries_rest', 'attempts', 'outputs'] loop
        execute format('alter table %s detach partition %1$s_before', of_one);
        execute format('alter table %s attach partition %1$s_before for values from (minvalue) to (%s)', of_one, first << 38);
        for day in first .. first + current_setting('bench.days')::bigint - 1 loop
            execute format('create table %s_day_%s (like %1$s including all)', of_one, day);
            execute format('alter table %s attach partition %1$s_day_%s for values from (%s) to (%s)',
                of_one, day, day::bigint << 38, (day + 1)::bigint << 38);
        end loop;
    end loop;
end $body$;
