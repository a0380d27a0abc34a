-- promote: SCHEDULED jobs whose time has come become PENDING, oldest first.
-- Takes  batch int.
-- Gives  one row: promoted int.
-- Locks  the jobs, skipping those that others hold; several workers may promote at once.
with due as (
    select g.id
    from blog_generations as g
    where g.status = 'SCHEDULED' and g.run_at <= now()
    order by g.run_at
    limit %(batch)s::integer
    for update skip locked
),

promoted as (
    update blog_generations as g
    set status = 'PENDING'
    where g.id = any (array(select d.id from due as d)) -- as a join, a full batch is reason enough to scan the table
    returning g.id
)

select count(*)::integer as promoted from promoted;
