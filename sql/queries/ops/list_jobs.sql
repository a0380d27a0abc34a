-- list_jobs: jobs, newest first.
-- Takes  status, instance_id (null: any); before: only ids below this one, null: all; most.
select
    g.id,
    g.instance_id,
    g.source_type,
    regexp_replace(
        coalesce(g.source_data ->> 'keyword', g.source_data ->> 'name', g.source_id, g.source_data ->> 'text'),
        '^(.{59}).{2,}$',
        '\1…'
    ) as source,
    g.status,
    g.stage,
    g.priority,
    g.attempt,
    g.failures,
    g.max_attempts,
    g.created_at,
    g.run_at,
    g.claimed_at,
    g.finished_at,
    g.error,
    p.title,
    p.url
from blog_generations as g
left join blog_posts as p on p.generation_id = g.id
where
    (%(status)s::text is null or g.status = %(status)s)
    and (%(instance_id)s::text is null or g.instance_id = %(instance_id)s)
    and (%(before)s::bigint is null or g.id < %(before)s)
order by g.id desc
limit %(most)s;
