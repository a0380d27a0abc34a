-- release_single_flight: give the right to buy back, if it still is this attempt's.
-- Takes  key; job_id; attempt.
delete from cache as c
where
    c.key = %(key)s
    and c.value = jsonb_build_object('job_id', %(job_id)s::bigint, 'attempt', %(attempt)s::integer);
