-- confirm: check that the attempt still has its claim. Runs right before each visible effect.
-- Takes  worker_id uuid; job_id; attempt.
-- Gives  one row: now, the database clock; no row if the attempt has lost its claim.
select now() as now
from blog_generations as g
join workers as w using (worker_id)
where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s) and w.lease_until > now();
