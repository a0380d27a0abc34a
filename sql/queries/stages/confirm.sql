-- confirm: is the claim still the caller's? Asked right before each visible effect.
-- Takes  worker_id uuid; job_id; attempt.
-- Gives  one row, or none: now, the database's clock.
select now() as now
from blog_generations as g
join workers as w using (worker_id)
where
    g.id = %(job_id)s
    and g.attempt = %(attempt)s
    and g.worker_id = %(worker_id)s::uuid
    and g.status = 'PROCESSING'
    and w.lease_until > now();
