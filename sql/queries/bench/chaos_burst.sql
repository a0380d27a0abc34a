-- chaos_burst: insert the first job of each of many sites.
-- Takes  sites: their number.
insert into blog_generations (instance_id, source_type, source_id, idempotency_key)
select 'burst-' || n, 'keyword', 'burst ' || n, 'once' from generate_series(1, %(sites)s::integer) as n
on conflict do nothing;
