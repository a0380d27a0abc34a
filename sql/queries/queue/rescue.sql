-- rescue: take back the jobs of workers whose lease has ended or whose incarnation was replaced.
-- Takes  batch int; most_rescues int: the rescue at which a job is held to be what kills its workers.
-- Gives  job_id, attempt, status, rescues, worker_id (the one that lost it).
-- Locks  the jobs, in id order, skipping those that others hold.
with orphaned as (
    select g.id, g.worker_id
    from blog_generations as g
    where
        g.status = 'PROCESSING'
        and not exists (
            select from workers as w where w.worker_id = g.worker_id and w.lease_until > now()
        )
    order by g.id
    limit %(batch)s::integer
    for update of g skip locked
),

rescued as (
    update blog_generations as g
    set
        status = case when g.rescues + 1 >= %(most_rescues)s::integer then 'FAILED' else 'PENDING' end,
        rescues = g.rescues + 1,
        error = case
            when g.rescues + 1 >= %(most_rescues)s::integer
                then format('its worker died or lost the database %%s times while holding it', g.rescues + 1)
            else 'its worker died or lost the database while holding it'
        end
    from orphaned as o
    where g.id = o.id
    returning g.id, g.attempt, g.status, g.rescues, g.stage, g.error, o.worker_id
),

recorded as (
    insert into generation_errors (generation_id, attempt, stage, kind, message, retryable)
    select r.id, r.attempt, r.stage, 'LeaseLost', r.error, r.status <> 'FAILED'
    from rescued as r
)

select r.id as job_id, r.attempt, r.status, r.rescues, r.worker_id from rescued as r;
