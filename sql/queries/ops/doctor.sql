-- doctor: facts of the server and of the fleet that `blogworker doctor` compares with what is needed.
-- Gives  one row: now; role; max_connections (without those reserved for superusers); connections: open now; trgm:
--        pg_trgm is installed; workers: alive; worker_slots: their sum; versions text[]: of the live workers; sites:
--        text[]: up to 3 that were served last.
select
    clock_timestamp() as now,
    current_user::text as role,
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        as max_connections,
    (select count(*) from pg_stat_activity as a where a.backend_type = 'client backend') as connections,
    exists (select from pg_extension as e where e.extname = 'pg_trgm') as trgm,
    (select count(*) from workers as w where w.lease_until > now()) as workers,
    array(select distinct w.version from workers as w where w.lease_until > now() order by w.version) as versions,
    array(
        select j.instance_id
        from (
            select g.instance_id, max(g.finished_at) as at
            from (
                select f.instance_id, f.finished_at
                from blog_generations as f
                where f.finished_at is not null
                order by f.finished_at desc
                limit 1000
            ) as g
            group by g.instance_id
        ) as j
        order by j.at desc
        limit 3
    ) as sites;
