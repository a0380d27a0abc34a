-- storm_owner: the process of the worker that runs a job.
-- Takes  topic.
-- Gives  pid, attempt; no row if the job is not running.
select w.pid, g.attempt
from blog_generations as g
join workers as w using (worker_id)
where g.source_id = %(topic)s and g.status = 'PROCESSING';
