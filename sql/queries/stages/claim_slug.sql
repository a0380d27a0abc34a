-- claim_slug: give the job a slug that no other job of its site has. Fenced.
-- Takes  worker_id uuid; job_id; attempt; wanted text[], the best first; stem: gets a number if all wanted are taken.
-- Gives  slug; no row if the attempt has lost its claim.
-- Locks  the job, then the turn of the site for titles.
select r.slug
from claim_slug(
    %(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid, %(wanted)s::text[], %(stem)s::text
) as r (slug)
where r.slug is not null;
