-- sweep_jobs: correct the place in line of jobs where it does not match their status, time and stage, because they were
-- inserted without triggers. PENDING jobs that are due but not in line are promoted, see promote.
-- Takes  after bigint: the id to continue from, at first 0; batch int: most jobs to check.
-- Gives  one row: looked_at int; repaired int; last bigint: the last id checked.
-- Locks  the jobs that it repairs, skipping those that other transactions have locked.
with seen as materialized (
    select g.id, g.status, g.line, g.stage, g.run_at, g.rescues
    from blog_generations as g
    where g.id > %(after)s::bigint
    order by g.id
    limit %(batch)s::integer
),

wrong as materialized (
    select g.id
    from seen as s
    join blog_generations as g using (id)
    where
        s.line is not null
        and (
            s.status <> 'PENDING'
            or s.line <> line_number(s.stage, s.rescues)
            or s.run_at > now() + interval '1 minute' -- a small difference to another server's clock is no fault
        )
    for no key update of g skip locked
),

repaired as (
    update blog_generations as g
    set line = case when g.status = 'PENDING' and g.run_at <= now() then line_number(g.stage, g.rescues) end
    where g.id = any (array(select w.id from wrong as w))
    returning g.id
)

select
    (select count(*) from seen)::integer as looked_at,
    (select count(*) from repaired)::integer as repaired,
    (select max(s.id) from seen as s) as last;
