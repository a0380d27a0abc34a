-- insert_jobs: insert jobs of one site.
-- Takes  instance_id, jobs.
insert into blog_generations (instance_id, source_type, source_id)
select %(instance_id)s, 'keyword', 'keyword ' || n from generate_series(1, %(jobs)s) as n;
