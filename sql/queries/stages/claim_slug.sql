-- claim_slug: give the job a slug that no other blog of its site has. Fenced.
-- Takes  worker_id uuid; job_id; attempt; wanted text[], the best first; stem: gets a number where none of them is free.
-- Gives  slug; no row when the claim is no longer the caller's.
-- Locks  the job, then an advisory lock on the site's titles.
select r.slug
from claim_slug(
    %(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid, %(wanted)s::text[], %(stem)s::text
) as r (slug)
where r.slug is not null;
