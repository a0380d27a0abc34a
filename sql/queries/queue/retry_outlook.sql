-- retry_outlook: the jobs that a retry may requeue, why others are refused, and which paid stages they still need.
-- Takes  job_ids bigint[], null: all FAILED jobs; instance_ids text[]; kinds text[]: see last_error_kind; text: see
--        mentions; stage: the next stage; younger_than_s, older_than_s: since they failed; each null: any. retry_from: the stage to begin at, null: what has changed decides. A job
--        named by id is in the result whatever its status is.
-- Gives  job_id; status; refusal, null: it would be retried: running, waits, done, published or shown; post: its
--        address or id at Wix; source_type; first: the stage from which it is repeated, null: from its last checkpoint;
--        to_pay text[]: the paid stages left.
with wanted as (
    select g as job, g.*
    from blog_generations as g
    where
        (g.status = 'FAILED' or %(job_ids)s::bigint[] is not null)
        and (%(job_ids)s::bigint[] is null or g.id = any (%(job_ids)s::bigint[]))
        and (%(instance_ids)s::text[] is null or g.instance_id = any (%(instance_ids)s::text[]))
        and (
            %(younger_than_s)s::double precision is null
            or g.finished_at > now() - make_interval(secs => %(younger_than_s)s::double precision)
        )
        and (
            %(older_than_s)s::double precision is null
            or g.finished_at < now() - make_interval(secs => %(older_than_s)s::double precision)
        )
        and (%(stage)s::text is null or g.stage = %(stage)s)
        and (%(kinds)s::text[] is null or last_error_kind(g) = any (%(kinds)s::text[]))
        and (
            %(text)s::text is null
            or mentions(g, (select p.title from blog_posts as p where p.generation_id = g.id), %(text)s)
        )
)

select
    w.id as job_id,
    w.status,
    case
        when w.status = 'PROCESSING' then 'running'
        when is_published(w.id) then 'published'
        when w.status in ('PENDING', 'SCHEDULED') then 'waits'
        when w.status = 'DONE' then 'done'
        when coalesce(%(retry_from)s::text, w.retry_from) is not null and is_shown(w.id) then 'shown'
    end as refusal,
    (select coalesce(p.url, p.wix_post_id) from blog_posts as p where p.generation_id = w.id) as post,
    w.source_type,
    r.first,
    array(
        select n.stage
        from unnest(array['ideas', 'content', 'image']) with ordinality as n (stage, place)
        where
            stage_number(n.stage) >= stage_number(r.first)
            or not exists (select from generation_stages as s where s.generation_id = w.id and s.stage = n.stage)
        order by n.place
    ) as to_pay
from wanted as w
cross join lateral (
    select retry_stage(w.job, coalesce(%(retry_from)s::text, w.retry_from)) as first
) as r
order by w.id;
