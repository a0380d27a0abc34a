-- release_single_flight: release the single-flight lock of a key, if this attempt still has it.
-- Takes  key; job_id; attempt.
delete from cache as c
where
    c.key = %(key)s
    and c.value = jsonb_build_object('job_id', %(job_id)s::bigint, 'attempt', %(attempt)s::integer);
