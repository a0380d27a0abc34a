-- begin_single_flight: read the cached value of a key, or acquire the lock under which one job requests it.
-- Takes  key; job_id, attempt: the new owner of the lock; ttl_s: seconds until the lock expires; always boolean: acquire
--        the lock also if there is a value.
-- Gives  one row: value jsonb, null: none; ours: whether this attempt has the lock.
-- Locks  the row of the lock.
select f.value, f.ours
from begin_single_flight(
    %(key)s::text, %(job_id)s::bigint, %(attempt)s::integer, %(ttl_s)s::double precision, %(always)s::boolean
) as f;
