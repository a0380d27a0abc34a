-- insert_burst: insert one job for each of many new sites.
-- Takes  sites: their number.
insert into blog_generations (instance_id, source_type, source_id)
select 'burst-' || n, 'keyword', 'a keyword' from generate_series(1, %(sites)s) as n;
