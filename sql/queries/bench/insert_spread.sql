-- insert_spread: blogs of many sites in one statement, triggers and all.
-- Takes  jobs, sites.
insert into blog_generations (instance_id, source_type, source_id, source_data)
select 'site-' || (random() * (%(sites)s - 1))::integer, 'keyword', 'keyword ' || n, '{"keyword": "linen curtains"}'
from generate_series(1, %(jobs)s) as n;
