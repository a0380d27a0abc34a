-- draw_review: decide once whether the job's post is the one of `every` of its site that is held for review. Fenced.
-- Takes  worker_id uuid; job_id; attempt; every int, from 1.
-- Gives  held; no row when the claim is no longer the caller's.
-- Locks  the job, then the site's count of posts that went past.
select r.held
from draw_review(%(job_id)s::bigint, %(attempt)s::integer, %(worker_id)s::uuid, %(every)s::integer) as r (held)
where r.held is not null;
