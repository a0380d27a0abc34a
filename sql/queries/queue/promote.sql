-- promote: put due jobs in line, the oldest first: SCHEDULED jobs become PENDING, PENDING jobs end their rest.
-- Takes  batch int; only text[]: these sites alone, null = all; skipped text[]: sites to skip, see skipped_sites.py.
-- Gives  one row: promoted int; looked_at int: jobs of the more frequent kind; a full batch means that more are due.
-- Locks  the jobs, skipping those that other transactions have locked; several workers may promote at once.
with due as materialized (
    select g.id
    from blog_generations as g
    where
        g.status = 'SCHEDULED'
        and g.run_at <= now()
        and (%(only)s::text[] is null or g.instance_id = any (%(only)s::text[]))
        and g.instance_id <> all (%(skipped)s::text[])
    order by g.run_at
    limit %(batch)s::integer
    for update skip locked
),

rested as materialized (
    select g.id
    from blog_generations as g
    where
        g.status = 'PENDING'
        and g.line is null
        and g.run_at <= now()
        and (%(only)s::text[] is null or g.instance_id = any (%(only)s::text[]))
        and g.instance_id <> all (%(skipped)s::text[])
    order by g.run_at
    limit %(batch)s::integer
    for update skip locked
),

promoted as (
    update blog_generations as g
    set status = 'PENDING', line = line_number(g.stage, g.rescues)
    where
        g.id = any (
            array(select d.id from due as d union all select r.id from rested as r)
        ) -- as a join, a full batch would make the planner scan the table
    returning g.id
)

select
    (select count(*) from promoted)::integer as promoted,
    greatest((select count(*) from due), (select count(*) from rested))::integer as looked_at;
