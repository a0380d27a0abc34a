-- count_jobs: the number of all jobs.
-- Gives  one row: jobs.
select count(*) as jobs from blog_generations;
