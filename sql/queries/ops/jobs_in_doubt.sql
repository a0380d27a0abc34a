-- jobs_in_doubt: count the jobs that ask the providers for their work after a restore: those that had begun to exist
-- when it was found, and have not ended.
-- Takes  found_at timestamptz: when the restore was found.
-- Gives  one row: jobs.
select count(*) as jobs
from blog_generations as g
where g.status in ('PENDING', 'PROCESSING', 'SCHEDULED') and g.created_at <= %(found_at)s::timestamptz;
