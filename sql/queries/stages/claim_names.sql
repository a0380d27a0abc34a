-- claim_names: give the job a title that is not similar to another title of its site, and a slug that no other job of the
-- site has. Fenced.
-- Takes  worker_id uuid; job_id; attempt; instance_id; titles text[], the best first; source: digest of the source;
--        slugs jsonb: for each title a list of slugs, the best first; stem: gets a number if all of them are taken;
--        posts int: see site_tags.
-- Gives  one row: place of the title, from 1, null if none can be claimed, and then the slug is one for the first title;
--        slug; tags text[] of the site, see site_tags; no row if the attempt has lost its claim.
-- Locks  the job, then the turn of the site for titles.
select
    r.place,
    claim_slug(
        %(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid,
        array(select jsonb_array_elements_text(%(slugs)s::jsonb -> (coalesce(r.place, 1) - 1))), %(stem)s::text
    ) as slug,
    array(select t.tag from site_tags(%(instance_id)s::text, %(job_id)s::bigint, %(posts)s::integer) as t) as tags
from claim_title(
    %(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid, %(titles)s::text[], %(source)s::text, true
) as r;
