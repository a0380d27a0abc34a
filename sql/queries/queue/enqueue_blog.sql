-- enqueue_blog: add one blog through the function that every producer shares; its contract is in the migration.
select q.id, q.status, q.created, q.place, q.expected_start
from enqueue_blog(
    %(instance_id)s, %(source_type)s, %(source_id)s, %(source_data)s::jsonb, %(priority)s::integer,
    %(run_at)s::timestamptz, %(publish_at)s::timestamptz, %(idempotency_key)s,
    %(max_attempts)s::integer, %(queue_size_limit)s::integer
) as q;
