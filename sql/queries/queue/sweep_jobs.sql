-- sweep_jobs: give jobs the place in line that their status, time and stage say, where rows that came past the triggers
-- have another. What is PENDING and out of line is promoted when its time has come, see promote.
-- Takes  after bigint: the id to go on from, at first 0; batch int: most jobs to look at.
-- Gives  one row: looked_at int; repaired int; last bigint: the id it came to.
-- Locks  the jobs that it repairs, skipping those that others have locked.
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
            or s.run_at > now() + interval '1 minute' -- a second of another server's clock is nothing wrong
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
