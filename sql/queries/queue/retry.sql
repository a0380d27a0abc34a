-- retry: put ended jobs back into the queue, with a full set of attempts: from their last checkpoint, or from where they
-- have to be made anew (`retry_stage`).
-- Takes  job_ids bigint[], or null for all FAILED ones that fit the rest; instance_ids, kinds text[] (of the last error),
--        younger_than_s: each null: any; retry_from: the stage to begin at, null: as what has changed demands; after_id:
--        the last of the batch before, so that a job which fails again meanwhile is not met twice; batch.
-- Gives  job_id of each. A job named by id may also be CANCELLED. One whose post is up is left out, and with retry_from one
--        of which the site may have a draft.
-- Locks  the jobs, in id order, skipping those that others hold.
with wanted as (
    select g.id
    from blog_generations as g
    where
        (
            g.status = 'FAILED'
            or (g.status = 'CANCELLED' and %(job_ids)s::bigint[] is not null)
        )
        and g.finished_at is not null
        and g.id > %(after_id)s::bigint
        and (%(job_ids)s::bigint[] is null or g.id = any (%(job_ids)s::bigint[]))
        and (%(instance_ids)s::text[] is null or g.instance_id = any (%(instance_ids)s::text[]))
        and (
            %(younger_than_s)s::double precision is null
            or g.finished_at > now() - make_interval(secs => %(younger_than_s)s::double precision)
        )
        and (
            %(kinds)s::text[] is null
            or (
                select e.kind from generation_errors as e where e.generation_id = g.id order by e.id desc limit 1
            ) = any (%(kinds)s::text[])
        )
        and not is_published(g.id)
        and (%(retry_from)s::text is null or not is_shown(g.id))
    order by g.id
    limit %(batch)s::integer
    for update of g skip locked
)

update blog_generations as g
set status = 'PENDING', run_at = now(), retry_from = coalesce(%(retry_from)s::text, g.retry_from)
from wanted as w
where g.id = w.id
returning g.id as job_id;
