-- finish_stage: save_checkpoint for a stage that costs nothing and replaces nothing. Fenced. Idempotent.
-- Takes  worker_id uuid; job_id; attempt; stage; output jsonb; next_stage, null: unchanged; duration_s; score: of the
--        post, else null; made_of jsonb: see save_checkpoint.
-- Gives  one row: job_id; no row if the attempt has lost its claim: then nothing was written.
-- Locks  the job.
with held as (
    select g.id, g.instance_id
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
),

saved as (
    insert into generation_stages as s (generation_id, stage, output, duration_s, attempt, made_of)
    select
        h.id, %(stage)s, %(output)s::jsonb, %(duration_s)s, %(attempt)s,
        case
            when d.given is not null then made_of(d.given ->> 0, d.given ->> 1, d.given -> 2, d.given -> 3)
        end
    from held as h
    cross join (select %(made_of)s::jsonb as given) as d
    on conflict (generation_id, stage) do update
    set
        output = excluded.output,
        model = null,
        prompt_version = null,
        duration_s = excluded.duration_s,
        attempt = excluded.attempt,
        made_of = excluded.made_of
    where (s.attempt, s.output) is distinct from (excluded.attempt, excluded.output)
    returning s.generation_id
),

-- It makes progress, so it is no suspect, and the obstacle is gone.
advanced as (
    update blog_generations as g
    set stage = %(next_stage)s::text, rescues = 0, lone_rescues = 0, error = null
    from held as h
    where g.id = h.id and %(next_stage)s::text is not null
)

select
    h.id as job_id,
    case
        when %(score)s::integer is not null and exists (select from saved)
            then add_usage(array[score_usage(h.id, h.instance_id, %(score)s::integer)])
    end as scored
from held as h;
