-- draw_review: decide once whether the post of the job is the one of `every` posts of its site that is held for review.
-- Fenced.
-- Takes  worker_id uuid; job_id; attempt; every int, from 1.
-- Gives  held; no row if the attempt has lost its claim.
-- Locks  the job, then the post counter of the site.
select r.held
from draw_review(%(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid, %(every)s::integer) as r (held)
where r.held is not null;
