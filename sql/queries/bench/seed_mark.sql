-- seed_mark: mark the jobs of seed_claim as running, as the seed did. The seed did not check the number of rows, so a job
-- that another process has marked meanwhile runs twice.
-- Takes  worker_id uuid, job_ids bigint[].
update blog_generations as g
set status = 'PROCESSING', attempt = g.attempt + 1, worker_id = %(worker_id)s::uuid
where g.id = any (%(job_ids)s::bigint[]) and g.status = 'PENDING';
