-- chaos_poison: a blog with whatever values the columns allow, typed into psql, and with it the time when it is to be
-- published and a checkpoint, where they are given.
-- Takes  instance_id, topic; source_type, source_data, stage, priority, attempt, failures, rescues, max_attempts, run_at,
--        created_at, cancel_requested_at; publish_at, null: none; saved_stage and saved, the checkpoint, null: none.
-- Gives  job_id, of one that was not there before.
with blog as (
    insert into blog_generations (
        instance_id, source_type, source_id, source_data, stage, priority, attempt, failures, rescues, max_attempts,
        run_at, created_at, cancel_requested_at, idempotency_key
    )
    values (
        %(instance_id)s, %(source_type)s, %(topic)s, %(source_data)s::jsonb, %(stage)s, %(priority)s::smallint,
        %(attempt)s::integer, %(failures)s::integer, %(rescues)s::integer, %(max_attempts)s::integer,
        %(run_at)s::timestamptz, %(created_at)s::timestamptz, %(cancel_requested_at)s::timestamptz, 'once'
    )
    on conflict do nothing
    returning id
),

published as (
    insert into scheduled_blogs (blog_generation_id, publish_at)
    select b.id, %(publish_at)s::timestamptz from blog as b where %(publish_at)s::timestamptz is not null
),

saved as (
    insert into generation_stages (generation_id, stage, output, attempt)
    select b.id, %(saved_stage)s, %(saved)s::jsonb, 1 from blog as b where %(saved_stage)s::text is not null
)

select b.id as job_id from blog as b;
