-- list_jobs: jobs that match a filter, newest first. Of those with the status, the site and the age, at most `scan` are
--        read, so a rare match costs no more.
-- Takes  status, instance_id (null: any); before: only ids below this one, null: all; text: a part of the title, the
--        source or the error, in any case; stage: the next stage; kind: see last_error_kind; within_s, older_than_s:
--        created in the last so many seconds, before that; null: any; scan, most: numbers of jobs.
-- Gives  rows; source: at most 60 characters of the subject; title, url: of the post.
with scanned as materialized (
    select g as job, g.*
    from blog_generations as g
    where
        (%(status)s::text is null or g.status = %(status)s)
        and (%(instance_id)s::text is null or g.instance_id = %(instance_id)s)
        and (%(before)s::bigint is null or g.id < %(before)s)
        and (
            %(within_s)s::double precision is null
            or g.created_at > now() - make_interval(secs => %(within_s)s::double precision)
        )
        and (
            %(older_than_s)s::double precision is null
            or g.created_at < now() - make_interval(secs => %(older_than_s)s::double precision)
        )
    order by g.id desc
    limit %(scan)s::bigint
)

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
from scanned as g
left join blog_posts as p on p.generation_id = g.id
where
    (%(stage)s::text is null or g.stage = %(stage)s)
    and (%(text)s::text is null or mentions(g.job, p.title, %(text)s))
    and (%(kind)s::text is null or last_error_kind(g.job) = %(kind)s)
order by g.id desc
limit %(most)s::bigint;
