-- insert_round_robin: blogs of many sites in turn, in one statement, triggers and all. No two have the same subject.
-- Takes  prefix: of the sites' names; sites: how many; jobs.
insert into blog_generations (instance_id, source_type, source_id, created_at)
select
    s.site,
    'keyword',
    s.site || ' subject ' || n,
    now() - (%(jobs)s - n) * interval '1 microsecond' -- as if they had come one by one
from generate_series(1, %(jobs)s) as n
cross join lateral (select %(prefix)s || '-' || (n %% %(sites)s)) as s (site)
order by n;
