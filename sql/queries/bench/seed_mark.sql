-- seed_mark: mark what was fetched as being worked on, as the system before this one did. The number of rows is not
-- checked, so a blog that another process has marked in between is made twice.
-- Takes  worker_id uuid, job_ids bigint[].
update blog_generations as g
set status = 'PROCESSING', attempt = g.attempt + 1, worker_id = %(worker_id)s::uuid
where g.id = any (%(job_ids)s::bigint[]) and g.status = 'PENDING';
