-- enqueue_blog: add one job with the function that every producer uses; the function has the contract.
-- Takes  instance_id, source_type, source_id, source_data, priority, run_at, publish_at, idempotency_key, max_attempts,
--        queue_size_limit, publish_mode, added_by: its arguments by name.
select q.id, q.status, q.created, q.place, q.expected_start, q.waits_for
from enqueue_blog(
    %(instance_id)s, %(source_type)s, %(source_id)s, %(source_data)s::jsonb, %(priority)s::integer,
    %(run_at)s::timestamptz, %(publish_at)s::timestamptz, %(idempotency_key)s,
    %(max_attempts)s::integer, %(queue_size_limit)s::integer, %(publish_mode)s,
    %(added_by)s
) as q;
