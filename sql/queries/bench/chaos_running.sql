-- chaos_running: the jobs that a worker is running.
-- Takes  name.
-- Gives  job_id, attempt, at: now, by the database's clock.
select g.id as job_id, g.attempt, clock_timestamp() as at
from blog_generations as g
join workers as w using (worker_id)
where w.name = %(name)s and g.status = 'PROCESSING';
