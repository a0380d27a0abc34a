-- come_due: the time that jobs were parked for is over.
-- Takes  job_ids bigint[].
update blog_generations as g
set run_at = now()
where g.id = any (%(job_ids)s::bigint[]) and g.status = 'SCHEDULED';
