-- chaos_reset: what an operator types to have failed blogs tried again.
-- Gives  job_id of each.
update blog_generations set status = 'PENDING' where status = 'FAILED' returning id as job_id;
