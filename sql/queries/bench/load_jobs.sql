-- load_jobs: fill an empty queue, evenly over its sites, past the triggers (they are not what is measured).
-- Takes  jobs, sites.
insert into blog_generations (instance_id, source_type, source_id, source_data, line)
select
    'site-' || n %% %(sites)s,
    'keyword',
    'keyword ' || n,
    jsonb_build_object('keyword', 'keyword ' || n),
    0
from generate_series(1, %(jobs)s) as n;
