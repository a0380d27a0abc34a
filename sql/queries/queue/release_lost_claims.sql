-- release_lost_claims: release jobs of this worker that it does not know: the claim was committed and its answer was
-- lost.
-- Takes  worker_id uuid; known bigint[]: the jobs it runs; older_than_s: the answers of younger claims may still
--        arrive, except if they are from before the latest restore: the worker has ended these jobs in the lost history;
--        only text[]: these sites alone, null = all; skipped text[]: sites to skip, see skipped_sites.py.
-- Gives  job_id of each.
-- Locks  the jobs, in id order, skipping those that other transactions have locked.
with strays as (
    select g.id
    from blog_generations as g
    where
        g.status = 'PROCESSING'
        and g.worker_id = %(worker_id)s::uuid
        and g.id <> all (%(known)s::bigint[])
        and g.claimed_at < greatest(
            now() - make_interval(secs => %(older_than_s)s), (select max(r.found_at) from restores as r)
        )
        and (%(only)s::text[] is null or g.instance_id = any (%(only)s::text[]))
        and g.instance_id <> all (%(skipped)s::text[])
    order by g.id
    for update skip locked
)

update blog_generations as g
set status = 'PENDING'
from strays as s
where g.id = s.id
returning g.id as job_id;
