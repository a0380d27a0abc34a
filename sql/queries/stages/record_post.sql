-- record_post: add the post of the job to the library of its site, or update it there. Fenced.
-- Takes  worker_id uuid; job_id; attempt; title; angle; language, null: unknown; terms text[], by which it is found.
-- Gives  one row; no row if the attempt has lost its claim: then nothing was written.
-- Locks  the job.
with held as (
    select g.id, g.instance_id
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
),

outdated as (
    delete from site_terms as t
    using held as h, site_posts as p
    where
        p.instance_id = h.instance_id
        and p.generation_id = h.id
        and t.instance_id = h.instance_id
        and t.generation_id = h.id
        and t.term = any (p.terms)
        and t.term <> all (%(terms)s::text[])
),

recorded as (
    insert into site_posts as p (instance_id, generation_id, title, angle, language, terms)
    select h.instance_id, h.id, %(title)s, %(angle)s, %(language)s, %(terms)s::text[]
    from held as h
    on conflict (instance_id, generation_id) do update
    set title = excluded.title, angle = excluded.angle, language = excluded.language, terms = excluded.terms
),

found_by as (
    insert into site_terms (instance_id, term, generation_id)
    select h.instance_id, t.term, h.id
    from held as h
    cross join unnest(%(terms)s::text[]) as t (term)
    on conflict do nothing
)

select h.id as job_id from held as h;
