-- enqueue_many: add a batch of blogs. Room for them has been made sure of; repeated idempotency keys are passed over.
-- Takes  blogs jsonb: an array of objects with the columns below.
-- Gives  one row: created int, how many are new.
-- Locks  the keys, in one order, so that two batches of the same keys cannot deadlock over them.
with incoming as materialized (
    select nextval(pg_get_serial_sequence('blog_generations', 'id')) as id, b.*
    from jsonb_to_recordset(%(blogs)s::jsonb) as b (
        instance_id text, source_type text, source_id text, source_data jsonb, priority smallint,
        run_at timestamptz, publish_at timestamptz, idempotency_key text, max_attempts integer, publish_mode text
    )
),

added as (
    insert into blog_generations (
        id, instance_id, source_type, source_id, source_data, priority, run_at, idempotency_key, max_attempts,
        publish_mode
    )
    select
        i.id, i.instance_id, i.source_type, i.source_id, i.source_data, i.priority, coalesce(i.run_at, now()),
        i.idempotency_key, coalesce(i.max_attempts, 5), i.publish_mode
    from incoming as i
    order by i.instance_id, i.idempotency_key
    on conflict on constraint blog_generations_idempotency_key do nothing
    returning id
),

timed as (
    insert into scheduled_blogs (blog_generation_id, publish_at)
    select i.id, i.publish_at
    from incoming as i
    join added as a using (id)
    where i.publish_at is not null
)

select count(*)::integer as created from added;
