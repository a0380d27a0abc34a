-- chaos_burst: the first blog of each of many sites, all in one statement.
-- Takes  sites: how many.
insert into blog_generations (instance_id, source_type, source_id, idempotency_key)
select 'burst-' || n, 'keyword', 'burst ' || n, 'once' from generate_series(1, %(sites)s::integer) as n
on conflict do nothing;
