-- chaos_reset: retry all failed jobs, except those of poisoned sites.
-- Gives  job_id of each.
update blog_generations set status = 'PENDING'
where status = 'FAILED' and instance_id not like 'poison-%%'
returning id as job_id;
