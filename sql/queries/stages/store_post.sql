-- store_post: insert or update the post of the job. See the function. Fenced.
-- Takes  worker_id uuid; job_id; attempt; post jsonb; image bytea.
-- Gives  one row: stored boolean, see the function; no row if the attempt has lost its claim: then nothing was written.
-- Locks  the job.
with held as (
    select g.id, g.instance_id
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
)

select store_post(h.id, h.instance_id, %(post)s::jsonb, %(image)s::bytea) as stored from held as h;
