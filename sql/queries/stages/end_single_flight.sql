-- end_single_flight: add what was requested to the cached list of a key, and release its lock if this attempt still has it.
-- Takes  key; job_id; attempt; found jsonb: the new entries, a list, null: none; most: entries kept, the newest; ttl_s:
--        seconds until the list expires.
with added as (
    insert into cache as c (key, value, expires_at)
    select f.key, f.value, now() + make_interval(secs => least(1e9, %(ttl_s)s::double precision))
    from (select %(key)s::text as key, %(found)s::jsonb as value) as f
    where f.value is not null
    on conflict (key) do update
    set
        value = jsonb_path_query_array(
            case when c.expires_at > now() and jsonb_typeof(c.value) = 'array' then c.value else '[]' end || excluded.value,
            '$[last - $before to last]',
            jsonb_build_object('before', %(most)s::integer - 1)
        ),
        expires_at = excluded.expires_at
)

delete from cache as c
where
    c.key = %(key)s || '/lock'
    and c.value = jsonb_build_object('job_id', %(job_id)s::bigint, 'attempt', %(attempt)s::integer);
