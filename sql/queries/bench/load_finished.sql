-- load_finished: add jobs that are DONE, evenly over the sites and over the last thirty days. For disabled triggers.
-- Takes  jobs, sites.
insert into blog_generations (
    instance_id, source_type, source_id, source_data, status, stage, attempt, created_at, claimed_at, finished_at
)
select
    'site-' || n %% %(sites)s,
    'keyword',
    'keyword ' || n,
    jsonb_build_object('keyword', 'keyword ' || n),
    'DONE',
    'publish',
    1,
    t.at - interval '2 minutes',
    t.at - interval '1 minute',
    t.at
from generate_series(1, %(jobs)s) as n
cross join lateral (select now() - interval '30 days' * (n::double precision / %(jobs)s) as at) as t;
