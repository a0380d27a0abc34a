-- record_post: add the post of the job to the library of its site, or update it there. See the function. Fenced.
-- Takes  worker_id uuid; job_id; attempt; entry jsonb: title, angle, language, null: unknown, terms.
-- Gives  one row; no row if the attempt has lost its claim: then nothing was written.
-- Locks  the job.
with held as (
    select g.id, g.instance_id
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
)

select h.id as job_id, record_post(h.id, h.instance_id, %(entry)s::jsonb) as recorded from held as h;
