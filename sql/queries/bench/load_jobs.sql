-- load_jobs: fill an empty queue, evenly over its sites, past the triggers (they are not what is measured).
-- Takes  jobs, sites.
insert into blog_generations (instance_id, source_type, source_id, source_data)
select
    'site-' || n %% %(sites)s,
    'keyword',
    'keyword ' || n,
    jsonb_build_object('keyword', 'keyword ' || n)
from generate_series(1, %(jobs)s) as n;
