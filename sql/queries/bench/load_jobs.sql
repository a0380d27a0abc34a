-- load_jobs: fill an empty queue with jobs that are in line, evenly over its sites. For disabled triggers.
-- Takes  jobs, sites.
insert into blog_generations (instance_id, source_type, source_id, source_data, line)
select
    'site-' || n %% %(sites)s,
    'keyword',
    'keyword ' || n,
    jsonb_build_object('keyword', 'keyword ' || n),
    0
from generate_series(1, %(jobs)s) as n;
