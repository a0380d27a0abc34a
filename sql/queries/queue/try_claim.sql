-- try_claim: make the changes of a claim to one job and its site. Run in a transaction that is rolled back.
-- Takes  job_id.
-- Locks  the job and its site, unless another transaction has locked one of them.
with one as (
    select g.id
    from blog_generations as g
    join sites as s using (instance_id)
    where g.id = %(job_id)s and g.status = 'PENDING'
    for no key update of g, s skip locked
),

claimed as (
    update blog_generations as g
    set status = 'PROCESSING', attempt = g.attempt + 1, worker_id = gen_random_uuid()
    from one as o
    where g.id = o.id
    returning g.instance_id
)

update sites as s
set virtual_time = least(1e15, s.virtual_time + s.turn_cost / s.weight)
from claimed as c
where s.instance_id = c.instance_id;
