-- claim_title: give the job the first of these titles that is not like another of its site. Fenced.
-- Takes  worker_id uuid; job_id; attempt; wanted text[], the best first; source: digest of what they were made of;
--        last_chance: rather the least alike than none.
-- Gives  one row, or none when the claim is no longer the caller's: place, from 1, null where none is free;
--        taken text[]: titles of the site that were in the way.
-- Locks  the job, then an advisory lock on the site's titles.
select r.place, r.taken
from claim_title(
    %(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid, %(wanted)s::text[], %(source)s::text,
    %(last_chance)s::boolean
) as r;
