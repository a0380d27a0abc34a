-- cancel: cancel jobs. A waiting job ends at once; a running job is stopped by its worker.
-- Takes  job_ids bigint[].
-- Gives  job_id, status_before, status of each job that had not ended: CANCELLED, PROCESSING if its worker was notified,
--        or DONE if its post is published.
-- Locks  the jobs, in id order.
with wanted as (
    select g.id, g.status
    from blog_generations as g
    where g.id = any (%(job_ids)s::bigint[]) and g.status in ('SCHEDULED', 'PENDING', 'PROCESSING')
    order by g.id
    for update
),

asked as (
    update blog_generations as g
    set
        status = case when g.status = 'PROCESSING' then g.status else 'CANCELLED' end,
        cancel_requested_at = now(),
        error = 'cancelled'
    from wanted as w
    where g.id = w.id
    returning g.id, w.status as status_before, g.status
)

select a.id as job_id, a.status_before, a.status, pg_notify('blogworker_jobs', 'cancel') as notified from asked as a;
