-- prunable: how many jobs `prune` would delete.
-- Takes  older_than_s.
-- Gives  one row: jobs.
select count(*) as jobs
from blog_generations as g
where g.finished_at < now() - make_interval(secs => %(older_than_s)s);
