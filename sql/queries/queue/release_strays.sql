-- release_strays: hand back what this worker holds without knowing: a claim was committed and its answer lost.
-- Takes  worker_id uuid; known bigint[]: the jobs it runs; older_than_s: younger claims may still be on their way to it;
--        only text[]: these sites alone, null = all; aside text[]: sites to pass over, see aside.py.
-- Gives  job_id of each.
-- Locks  the jobs, in id order, skipping those that others hold.
with strays as (
    select g.id
    from blog_generations as g
    where
        g.status = 'PROCESSING'
        and g.worker_id = %(worker_id)s::uuid
        and g.id <> all (%(known)s::bigint[])
        and g.claimed_at < now() - make_interval(secs => %(older_than_s)s)
        and (%(only)s::text[] is null or g.instance_id = any (%(only)s::text[]))
        and g.instance_id <> all (%(aside)s::text[])
    order by g.id
    for update skip locked
)

update blog_generations as g
set status = 'PENDING'
from strays as s
where g.id = s.id
returning g.id as job_id;
