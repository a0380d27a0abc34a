-- take_back: what this very process held when its lease ended. It lives, so none of these jobs has killed it.
-- Takes  former uuid: the worker_id of that lease; job_ids bigint[], attempts int[]: what it held, in the same order.
-- Gives  job_id of each that is free again, or is suspected less.
-- Locks  the jobs, in id order, skipping those that others have locked.
with held as (
    select g.id, g.status
    from blog_generations as g
    join unnest(%(job_ids)s::bigint[], %(attempts)s::integer[]) as h (id, attempt) using (id)
    where
        (g.status = 'PROCESSING' and g.worker_id = %(former)s::uuid)
        or (
            g.rescues > 0
            and exists ( -- it was rescued meanwhile
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
from held as h
where g.id = h.id
returning g.id as job_id;
