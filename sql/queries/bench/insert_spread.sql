-- insert_spread: insert jobs for random sites.
-- Takes  jobs, sites.
insert into blog_generations (instance_id, source_type, source_id, source_data)
select 'site-' || (random() * (%(sites)s - 1))::integer, 'keyword', 'keyword ' || n, '{"keyword": "linen curtains"}'
from generate_series(1, %(jobs)s) as n;
