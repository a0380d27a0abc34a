-- rescue: requeue the jobs of workers whose lease has ended or whose incarnation was replaced.
-- Takes  batch int; most_lone int: this many lone deaths make a job FAILED; most int: this many deaths do if the last
--        one was lone, even if other workers died too; only text[]: these sites alone, null = all; skipped text[]:
--        sites to skip, see skipped_sites.py.
-- Gives  job_id, attempt, status, rescues, lone_rescues; worker_id of the worker that lost it; worker: its name, or its
--        id if a new incarnation has the name.
-- Locks  the jobs, in id order, skipping those that other transactions have locked.
--
-- Any job that ran in a worker when it died may have killed it. Only a *lone* death counts against a job: the worker
-- ran no other job, and no other worker died at that time, because then something else kills workers (a bad host, a
-- person). A suspect whose worker died alone rests before it runs again, so that such an incident can end; longer each
-- time, and if other workers died too, only from the eighth death on: most jobs that many deaths make suspects finish a
-- stage within a few more attempts.
with orphaned as (
    select g.id, g.worker_id, g.rescues, g.lone_rescues
    from blog_generations as g
    where
        g.status = 'PROCESSING'
        and not exists (
            select from workers as w where w.worker_id = g.worker_id and w.lease_until > now()
        )
        and (%(only)s::text[] is null or g.instance_id = any (%(only)s::text[]))
        and g.instance_id <> all (%(skipped)s::text[])
    order by g.id
    limit %(batch)s::integer
    for update of g skip locked
),

judged as (
    select
        o.id,
        o.worker_id,
        least(1000000000, o.rescues + 1) as rescues,
        d.alone,
        d.explained,
        least(1000000000, o.lone_rescues + (d.alone and not d.explained)::integer) as lone_rescues
    from orphaned as o
    cross join lateral (
        select
            not exists (
                select from blog_generations as h
                where h.status = 'PROCESSING' and h.worker_id = o.worker_id and h.id <> o.id
            ) as alone,
            exists (select from orphaned as p where p.worker_id <> o.worker_id)
            or exists (
                select from generation_errors as e
                where
                    e.kind = 'LeaseLost'
                    and e.generation_id <> o.id
                    and e.created_at > (
                        select max(b.created_at)
                        from generation_errors as b
                        where b.generation_id = o.id and b.kind = 'LeaseLost'
                    )
            ) as explained
    ) as d
),

condemned as (
    select
        j.*,
        j.alone and (j.lone_rescues >= %(most_lone)s::integer or j.rescues >= %(most)s::integer) as guilty
    from judged as j
),

rescued as (
    update blog_generations as g
    set
        status = case when c.guilty then 'FAILED' else 'PENDING' end,
        rescues = c.rescues,
        lone_rescues = c.lone_rescues,
        run_at = case
            when c.alone and c.rescues > 1
                then now() + make_interval(
                    secs => least(60, 2 ^ least(6, greatest(0, c.rescues - case when c.explained then 7 else 1 end)))
                )
            else g.run_at
        end,
        error = case
            when c.guilty
                then format(
                    'its worker died %%s times while holding it, the last time while it ran alone: it is probably the '
                    'cause. Look at its source, then retry it',
                    c.rescues
                )
            else 'its worker died or lost the database while holding it'
        end
    from condemned as c
    where g.id = c.id
    returning g.id, g.attempt, g.status, g.rescues, g.lone_rescues, g.stage, g.error, c.worker_id
),

recorded as (
    insert into generation_errors (generation_id, attempt, stage, kind, message, retryable)
    select r.id, r.attempt, r.stage, 'LeaseLost', coalesce(r.error, 'its post is published'), r.status <> 'FAILED'
    from rescued as r
)

select
    r.id as job_id,
    r.attempt,
    r.status,
    r.rescues,
    r.lone_rescues,
    r.worker_id,
    coalesce(w.name, r.worker_id::text) as worker
from rescued as r
left join workers as w using (worker_id);
