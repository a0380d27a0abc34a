-- try_claim: what a claim does to one job. Run in a transaction that is rolled back.
-- Takes  job_id.
-- Locks  the job, unless another transaction has locked it.
with one as (
    select g.id from blog_generations as g where g.id = %(job_id)s and g.status = 'PENDING' for update skip locked
)

update blog_generations as g
set status = 'PROCESSING', attempt = g.attempt + 1, worker_id = gen_random_uuid()
from one as o
where g.id = o.id;
