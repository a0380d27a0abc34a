-- make_due: end the delay of these jobs.
-- Takes  job_ids bigint[].
update blog_generations as g
set run_at = now()
where g.id = any (%(job_ids)s::bigint[]) and g.status = 'PENDING' and g.line is null;
