-- claim_title: give the job the first of these titles that is not similar to another title of its site, and add its post
-- to the library of the site. Fenced.
-- Takes  worker_id uuid; job_id; attempt; instance_id; wanted text[], the best first; source: digest of the source;
--        last_chance: if all are similar, take the least similar one; entries jsonb: for each title the entry of its
--        post, see record_post, null: none.
-- Gives  one row: place, from 1, null if no title can be claimed; taken text[]: similar titles of the site. No row if
--        the attempt has lost its claim.
-- Locks  the job, then the turn of the site for titles.
select
    r.place,
    r.taken,
    case
        when r.place is not null and %(entries)s::jsonb is not null
            then record_post(%(job_id)s::bigint, %(instance_id)s::text, %(entries)s::jsonb -> (r.place - 1))
    end as recorded
from claim_title(
    %(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid, %(wanted)s::text[], %(source)s::text,
    %(last_chance)s::boolean
) as r;
