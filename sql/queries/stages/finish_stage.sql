-- finish_stage: save_checkpoint for a stage that costs nothing and replaces nothing, and store what it has made of the
-- post. Fenced. Idempotent.
-- Takes  worker_id uuid; job_id; attempt; stage; output jsonb; next_stage, null: unchanged; duration_s; score: of the
--        post, else null; made_of jsonb: see save_checkpoint; post jsonb, image bytea: see store_post, null: none;
--        entry jsonb: see record_post, null: none.
-- Gives  one row: stored boolean, false: the job has no post that could be changed, and nothing was written; no row if
--        the attempt has lost its claim: then nothing was written either.
-- Locks  the job.
with held as (
    select g.id, g.instance_id
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
),

-- Before all else, because without its row nothing is stored.
posted as materialized (
    select
        h.id,
        h.instance_id,
        case
            when %(post)s::jsonb is not null then store_post(h.id, h.instance_id, %(post)s::jsonb, %(image)s::bytea)
            else true
        end as stored
    from held as h
),

finished as (
    select p.id, p.instance_id from posted as p where p.stored
),

saved as (
    insert into generation_stages as s (generation_id, stage, output, duration_s, attempt, made_of)
    select
        h.id, %(stage)s, %(output)s::jsonb, %(duration_s)s, %(attempt)s,
        case
            when d.given is not null then made_of(d.given ->> 0, d.given ->> 1, d.given -> 2, d.given -> 3)
        end
    from finished as h
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
    from finished as h
    where g.id = h.id and %(next_stage)s::text is not null
)

select
    p.stored,
    case
        when p.stored and %(entry)s::jsonb is not null then record_post(p.id, p.instance_id, %(entry)s::jsonb)
    end as recorded,
    case
        when %(score)s::integer is not null and exists (select from saved)
            then add_usage(array[score_usage(p.id, p.instance_id, %(score)s::integer)])
    end as scored
from posted as p;
