-- take_back: release the jobs of this process's former lease. The process lives, so none of them has killed it.
-- Takes  former uuid: the worker_id of that lease; job_ids bigint[], attempts int[]: its jobs, in the same order.
-- Gives  job_id of each that is released, or whose suspicion is reduced.
-- Locks  the jobs, in id order, skipping those that other transactions have locked.
with locked as (
    select g.id, g.status
    from blog_generations as g
    join unnest(%(job_ids)s::bigint[], %(attempts)s::integer[]) as h (id, attempt) using (id)
    where
        (g.status = 'PROCESSING' and g.worker_id = %(former)s::uuid)
        or (
            g.rescues > 0
            and g.finished_at is null
            and exists ( -- the job was rescued meanwhile
                select from generation_errors as e
                where e.generation_id = g.id and e.attempt = h.attempt and e.kind = 'LeaseLost'
            )
        )
    order by g.id
    for update of g skip locked
)

update blog_generations as g
set
    status = case when g.status = 'PROCESSING' and g.worker_id = %(former)s::uuid then 'PENDING' else g.status end,
    rescues = case
        when g.status = 'PROCESSING' and g.worker_id = %(former)s::uuid then g.rescues else greatest(0, g.rescues - 1)
    end,
    lone_rescues = case
        when g.status = 'PROCESSING' and g.worker_id = %(former)s::uuid then g.lone_rescues
        else greatest(0, g.lone_rescues - 1)
    end
from locked as h
where g.id = h.id
returning g.id as job_id;
