-- insert_burst: a blog of each of so many new sites, in one statement.
-- Takes  sites.
insert into blog_generations (instance_id, source_type, source_id)
select 'burst-' || n, 'keyword', 'a keyword' from generate_series(1, %(sites)s) as n;
