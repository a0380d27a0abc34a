-- retry: requeue ended jobs with a full set of attempts. Each continues from its last checkpoint, or from the stage
-- that has to be repeated (`retry_stage`).
-- Takes  job_ids bigint[]: as chosen by `retry_outlook`; retry_from: the stage to begin at, null: what has changed
--        decides, or the stage in the column retry_from.
-- Gives  job_id, status_before, status of each job that is PENDING again. A job is left out if it has not ended, if its post is published,
--        and, with a stage to begin at, if its site may have a draft.
-- Locks  the jobs in id order, skipping those that other transactions have locked.
with wanted as (
    select g.id, g.status
    from blog_generations as g
    where
        g.id = any (%(job_ids)s::bigint[])
        and g.status in ('FAILED', 'CANCELLED')
        and g.finished_at is not null
        and not is_published(g.id)
        and (coalesce(%(retry_from)s::text, g.retry_from) is null or not is_shown(g.id))
    order by g.id
    for update of g skip locked
)

update blog_generations as g
set status = 'PENDING', run_at = now(), retry_from = coalesce(%(retry_from)s::text, g.retry_from)
from wanted as w
where g.id = w.id
returning g.id as job_id, w.status as status_before, g.status;
