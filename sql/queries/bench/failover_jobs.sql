-- failover_jobs: what became of each job.
-- Gives  topic; status; failures.
select g.source_id as topic, g.status, g.failures from blog_generations as g;
