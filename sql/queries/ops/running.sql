-- running: jobs that run now, those that were claimed last first. At most 2,000 are read.
-- Takes  most.
-- Gives  rows: job_id, instance_id, stage; worker: its name, null: it has no lease; since: the claim.
-- Plan   blog_generations_held_idx.
select r.id as job_id, r.instance_id, r.stage, w.name as worker, r.claimed_at as since
from (
    select g.id, g.instance_id, g.stage, g.worker_id, g.claimed_at
    from blog_generations as g
    where g.status = 'PROCESSING'
    order by g.worker_id
    limit 2000
) as r
left join workers as w using (worker_id)
order by r.claimed_at desc nulls last, r.id desc
limit %(most)s::bigint;
