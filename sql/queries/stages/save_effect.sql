-- save_effect: save_checkpoint for an effect that costs nothing and ends no stage. Fenced. Idempotent.
-- Takes  worker_id uuid; job_id; attempt; stage: the checkpoint's name; output jsonb; duration_s; stamp: a key of the
--        output that receives the time, null: none.
-- Gives  one row: now, the database clock, null if the lease of the worker has ended: then what was stored must not
--        begin; no row if the attempt has lost its claim: then nothing was written.
-- Locks  the job.
with held as (
    select g.id
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
),

saved as (
    insert into generation_stages as s (generation_id, stage, output, duration_s, attempt)
    select
        h.id,
        %(stage)s,
        %(output)s::jsonb || case
            when %(stamp)s::text is null then '{}' else jsonb_build_object(
                %(stamp)s::text, to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
            )
        end,
        %(duration_s)s,
        %(attempt)s
    from held as h
    on conflict (generation_id, stage) do update
    set
        output = excluded.output,
        model = null,
        prompt_version = null,
        duration_s = excluded.duration_s,
        attempt = excluded.attempt
    where (s.attempt, s.output) is distinct from (excluded.attempt, excluded.output)
)

select (select now() from workers as w where w.worker_id = %(worker_id)s and w.lease_until > now()) as now
from held;
