-- confirm: is the claim still the caller's? Asked right before each visible effect.
-- Takes  worker_id uuid; job_id; attempt.
-- Gives  one row, or none: now, the database's clock.
select now() as now
from blog_generations as g
join workers as w using (worker_id)
where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s) and w.lease_until > now();
