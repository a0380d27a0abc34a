-- insert_round_robin: insert jobs with different subjects for many sites in turn.
-- Takes  prefix: of the sites' names; sites: their number; jobs.
insert into blog_generations (instance_id, source_type, source_id, created_at)
select
    s.site,
    'keyword',
    s.site || ' subject ' || n,
    now() - (%(jobs)s - n) * interval '1 microsecond' -- as if inserted one by one
from generate_series(1, %(jobs)s) as n
cross join lateral (select %(prefix)s || '-' || (n %% %(sites)s)) as s (site)
order by n;
