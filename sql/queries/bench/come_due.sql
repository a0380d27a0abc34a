-- come_due: the rest of these jobs is over.
-- Takes  job_ids bigint[].
update blog_generations as g
set run_at = now()
where g.id = any (%(job_ids)s::bigint[]) and g.status = 'PENDING' and g.line is null;
