-- storm_holder: the process that holds a certain blog.
-- Takes  topic.
-- Gives  pid, attempt; nothing when nobody does.
select w.pid, g.attempt
from blog_generations as g
join workers as w using (worker_id)
where g.source_id = %(topic)s and g.status = 'PROCESSING';
