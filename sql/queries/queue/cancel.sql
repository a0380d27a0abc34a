-- cancel: end jobs that a person no longer wants. What waits ends at once; what runs is stopped by its worker.
-- Takes  job_ids bigint[].
-- Gives  job_id, status of each that had not ended: CANCELLED, or PROCESSING where its worker has been told.
-- Locks  the jobs, in id order.
with wanted as (
    select g.id
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
    returning g.id, g.status
)

select a.id as job_id, a.status, pg_notify('blogworker_jobs', 'cancel') as told from asked as a;
