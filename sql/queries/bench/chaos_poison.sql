-- chaos_poison: insert a job with any values that the columns accept, and optionally its time of publication and a
-- checkpoint.
-- Takes  instance_id, topic, source_type, source_data, stage, priority, attempt, failures, rescues, max_attempts, run_at,
--        created_at, cancel_requested_at; publish_at or null; saved_stage and saved: the checkpoint, or null.
-- Gives  job_id, if the job is new.
with job as (
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
    select j.id, %(publish_at)s::timestamptz from job as j where %(publish_at)s::timestamptz is not null
),

saved as (
    insert into generation_stages (generation_id, stage, output, attempt)
    select j.id, %(saved_stage)s, %(saved)s::jsonb, 1 from job as j where %(saved_stage)s::text is not null
)

select j.id as job_id from job as j;
