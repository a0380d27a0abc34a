-- fail_unclaimable: end a job that cannot be claimed.
-- Takes  job_id; error. If the job's post is published, the job becomes DONE instead, see spare_published.
-- Locks  the job.
with ended as (
    update blog_generations as g
    set status = 'FAILED', error = %(error)s
    where g.id = %(job_id)s and g.status = 'PENDING'
    returning g.id, g.attempt, g.stage, g.status, g.error
)

insert into generation_errors (generation_id, attempt, stage, kind, message, retryable)
select e.id, e.attempt, e.stage, 'Unusable', %(error)s, e.status <> 'FAILED'
from ended as e;
