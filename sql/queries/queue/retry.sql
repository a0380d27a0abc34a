-- retry: put ended jobs back into the queue, from their last checkpoint, with a full set of attempts.
-- Takes  job_ids bigint[], or null for all FAILED ones that fit the rest; instance_id, kind (of the last error),
--        younger_than_s: each null: any; after_id: the last of the batch before, so that a job which fails again
--        meanwhile is not met twice; batch.
-- Gives  job_id of each. A job named by id may also be CANCELLED.
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
        and (%(instance_id)s::text is null or g.instance_id = %(instance_id)s)
        and (
            %(younger_than_s)s::double precision is null
            or g.finished_at > now() - make_interval(secs => %(younger_than_s)s::double precision)
        )
        and (
            %(kind)s::text is null
            or %(kind)s = (
                select e.kind from generation_errors as e where e.generation_id = g.id order by e.id desc limit 1
            )
        )
    order by g.id
    limit %(batch)s::integer
    for update of g skip locked
)

update blog_generations as g
set status = 'PENDING', run_at = now()
from wanted as w
where g.id = w.id
returning g.id as job_id;
