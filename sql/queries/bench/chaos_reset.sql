-- chaos_reset: what an operator types to have failed blogs tried again, those of the poisoned sites left as they are.
-- Gives  job_id of each.
update blog_generations set status = 'PENDING'
where status = 'FAILED' and instance_id not like 'poison-%%'
returning id as job_id;
